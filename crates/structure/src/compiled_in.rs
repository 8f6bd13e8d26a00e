//! Decides from an item's attributes whether it is compiled outside of tests.

use syn::punctuated::Punctuated;
use syn::{Attribute, Meta, Token};

/// Returns false if a `cfg` excludes the item from every build that is not a test.
///
/// Features and targets may be on or off, so they exclude nothing.
pub(crate) fn compiled_in(attributes: &[Attribute]) -> bool {
    !attributes
        .iter()
        .filter(|attribute| attribute.path().is_ident("cfg"))
        .filter_map(|attribute| attribute.parse_args::<Meta>().ok())
        .any(|condition| holds(&condition) == Some(false))
}

/// Whether a condition holds outside of tests; `None` if that depends on the build.
fn holds(condition: &Meta) -> Option<bool> {
    match condition {
        Meta::Path(path) if path.is_ident("test") || path.is_ident("doctest") => Some(false),
        Meta::List(list) => {
            let parts = list
                .parse_args_with(Punctuated::<Meta, Token![,]>::parse_terminated)
                .ok()?;
            let parts: Vec<_> = parts.iter().map(holds).collect();
            if list.path.is_ident("not") {
                parts.first().copied().flatten().map(|held| !held)
            } else if list.path.is_ident("all") {
                combined(&parts, false)
            } else {
                combined(&parts, true)
            }
        }
        _ => None,
    }
}

/// Evaluates `any` of the parts if `deciding` is true, `all` of them if it is false.
fn combined(parts: &[Option<bool>], deciding: bool) -> Option<bool> {
    if parts.contains(&Some(deciding)) {
        return Some(deciding);
    }
    let all_known = parts.iter().all(Option::is_some);
    all_known.then_some(!deciding)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn is_in(attribute: &str) -> bool {
        let item: syn::ItemStruct = syn::parse_str(&format!("{attribute} struct S;")).unwrap();
        compiled_in(&item.attrs)
    }

    #[test]
    fn tests_are_left_out() {
        for attribute in [
            "#[cfg(test)]",
            "#[cfg(doctest)]",
            "#[cfg(all(test, feature = \"etcd\"))]",
            "#[cfg(any(test, doctest))]",
            "#[cfg(not(not(test)))]",
            "#[derive(Debug)] #[cfg(test)]",
        ] {
            assert!(!is_in(attribute), "{attribute}");
        }
    }

    #[test]
    fn all_else_is_in() {
        for attribute in [
            "",
            "#[cfg(feature = \"etcd\")]",
            "#[cfg(not(test))]",
            "#[cfg(any(test, feature = \"etcd\"))]",
            "#[cfg(all(unix, not(target_os = \"linux\")))]",
            "#[derive(Debug)]",
        ] {
            assert!(is_in(attribute), "{attribute}");
        }
    }
}
