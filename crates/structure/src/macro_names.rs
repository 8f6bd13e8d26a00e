//! Finds names of items that macros may define. Macros are not expanded, so this is a guess
//! from their tokens, used only for names that nothing else in the module explains.

use proc_macro2::{Ident, TokenStream, TokenTree};

/// Returns the types that a `macro_rules!` body defines under fixed names: `struct Name`, not
/// `struct $name`.
pub(crate) fn types_in_body(body: TokenStream) -> Vec<Ident> {
    let mut names = Vec::new();
    let mut after_keyword = false;
    for token in body {
        match token {
            TokenTree::Group(group) => names.extend(types_in_body(group.stream())),
            TokenTree::Ident(ident) if after_keyword => {
                names.push(ident);
                after_keyword = false;
                continue;
            }
            TokenTree::Ident(ident) => {
                let keyword = ident.to_string();
                after_keyword = matches!(&*keyword, "struct" | "enum" | "union" | "trait");
                continue;
            }
            _ => {}
        }
        after_keyword = false;
    }
    names
}

/// Returns the names in a macro invocation that look like type names.
pub(crate) fn types_in_invocation(tokens: TokenStream) -> Vec<Ident> {
    let is_type = |ident: &Ident| ident.to_string().starts_with(char::is_uppercase);
    let idents = tokens.into_iter().filter_map(|token| match token {
        TokenTree::Ident(ident) => Some(ident),
        _ => None,
    });
    idents.filter(is_type).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(idents: Vec<Ident>) -> Vec<String> {
        idents.iter().map(Ident::to_string).collect()
    }

    #[test]
    fn only_fixed_names_are_taken_from_a_body() {
        let body = "($n:ident) => { pub struct Fixed; enum $n { A } impl Fixed { fn f() {} } };";
        assert_eq!(shown(types_in_body(body.parse().unwrap())), ["Fixed"]);
    }

    #[test]
    fn what_looks_like_a_type_is_taken_from_an_invocation() {
        let tokens = "#[doc = \"Text\"] Name = \"name\", retryable false; Other";
        let found = types_in_invocation(tokens.parse().unwrap());
        assert_eq!(shown(found), ["Name", "Other"]);
    }
}
