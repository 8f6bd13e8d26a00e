//! The version of a library that a program was built with.

/// The version of a package in the text of a `Cargo.lock`.
#[must_use]
pub fn locked_version(lock: &str, package: &str) -> String {
    let name = format!("name = \"{package}\"");
    let mut lines = lock.lines().skip_while(|line| *line != name);
    let version = lines
        .nth(1)
        .and_then(|line| line.strip_prefix("version = \""));
    let version = version.and_then(|line| line.strip_suffix('"'));
    format!("{package} {}", version.unwrap_or("of unknown version"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_version_follows_the_name() {
        let lock =
            "[[package]]\nname = \"a-b\"\nversion = \"1.2.3\"\n\n[[package]]\nname = \"b\"\n";
        assert_eq!(locked_version(lock, "a-b"), "a-b 1.2.3");
        assert_eq!(locked_version(lock, "b"), "b of unknown version");
        assert_eq!(locked_version(lock, "c"), "c of unknown version");
    }
}
