pub(crate) mod retry;
