pub(crate) mod leader;
