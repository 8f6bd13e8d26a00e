pub(crate) mod candidate;
