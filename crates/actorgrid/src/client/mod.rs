pub(crate) mod retry;
pub(crate) mod watch_resume;
