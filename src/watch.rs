//! File notices to quiet batches.
