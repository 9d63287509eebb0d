"""What tests of every part share: a local chain, throwaway databases, a browser, a receiver of alerts."""
