//! Parses and checks the `#[grid(...)]` attributes of a derived type.

use proc_macro2::TokenStream;
use quote::{ToTokens, quote};
use syn::meta::ParseNestedMeta;
use syn::{Attribute, DeriveInput, Error, Fields, Ident, LitStr, Path, Result, Type};

/// The `#[grid(...)]` attributes of one type.
#[derive(Default)]
pub(crate) struct Grid {
    pub(crate) name: Option<LitStr>,
    pub(crate) aliases: Vec<LitStr>,
    pub(crate) reply: Option<Type>,
    crate_path: Option<Path>,
    /// A key that is valid only on a message, kept for the error if it is set on a message set.
    message_key: Option<Ident>,
}

impl Grid {
    /// Reads the attributes of a message.
    pub(crate) fn of_message(attributes: &[Attribute]) -> Result<Self> {
        let grid = Self::read(attributes)?;
        for (at, alias) in grid.aliases.iter().enumerate() {
            let is_alias = |other: &LitStr| other.value() == alias.value();
            let what = if grid.name.as_ref().is_some_and(is_alias) {
                "is the name of the message"
            } else if grid.aliases[..at].iter().any(is_alias) {
                "is written twice"
            } else {
                continue;
            };
            return Err(Error::new(
                alias.span(),
                format!("this alias {what}: remove it"),
            ));
        }
        Ok(grid)
    }

    /// Reads the attributes of a message set, which has no name of its own.
    pub(crate) fn of_set(attributes: &[Attribute]) -> Result<Self> {
        let grid = Self::read(attributes)?;
        match &grid.message_key {
            None => Ok(grid),
            Some(key) => Err(Error::new(
                key.span(),
                format!("a set has no `{key}`: set it on the messages in the set"),
            )),
        }
    }

    fn read(attributes: &[Attribute]) -> Result<Self> {
        let mut grid = Self::default();
        for attribute in attributes.iter().filter(|a| a.path().is_ident("grid")) {
            attribute.parse_nested_meta(|meta| grid.read_key(&meta))?;
        }
        Ok(grid)
    }

    fn read_key(&mut self, meta: &ParseNestedMeta<'_>) -> Result<()> {
        let is = |key| meta.path.is_ident(key);
        if is("crate") {
            let path = meta.value()?.call(Path::parse_mod_style)?;
            return once(&mut self.crate_path, path, meta);
        }
        if !(is("name") || is("alias") || is("reply")) {
            return Err(meta.error("unknown key: use `name`, `alias`, `reply` or `crate`"));
        }
        self.message_key = meta.path.get_ident().cloned();
        let value = meta.value()?;
        if is("reply") {
            if value.peek(LitStr) {
                return Err(value.error("write the type without quotes: `reply = Type`"));
            }
            return once(&mut self.reply, value.parse()?, meta);
        }
        let text: LitStr = value.parse()?;
        if !is_wire_name(&text.value()) {
            return Err(Error::new(
                text.span(),
                "a wire name is not empty and has printable ASCII only, without spaces: \
                 write one like \"shop/Order\"",
            ));
        }
        if is("alias") {
            self.aliases.push(text);
            return Ok(());
        }
        once(&mut self.name, text, meta)
    }

    /// Returns the path of the crate `actorgrid`.
    pub(crate) fn crate_path(&self) -> TokenStream {
        match &self.crate_path {
            Some(path) => path.to_token_stream(),
            None => quote!(::actorgrid),
        }
    }
}

fn once<T>(slot: &mut Option<T>, value: T, meta: &ParseNestedMeta<'_>) -> Result<()> {
    if slot.replace(value).is_some() {
        let key = meta.path.to_token_stream();
        return Err(meta.error(format_args!("`{key}` is set twice: keep one")));
    }
    Ok(())
}

/// Whether a text can be a wire name, which travels in a header.
pub(crate) fn is_wire_name(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_graphic())
}

/// Rejects `#[grid(...)]` in places where it would have no effect.
pub(crate) fn refuse_on<'a>(
    attributes: impl IntoIterator<Item = &'a Attribute>,
    place: &str,
) -> Result<()> {
    match attributes.into_iter().find(|a| a.path().is_ident("grid")) {
        None => Ok(()),
        Some(attribute) => Err(Error::new_spanned(
            attribute,
            format!("`#[grid(...)]` has no effect on a {place}: write it on the type"),
        )),
    }
}

pub(crate) fn refuse_on_fields(fields: &Fields) -> Result<()> {
    refuse_on(fields.iter().flat_map(|field| &field.attrs), "field")
}

/// Rejects generic parameters: each instance would need wire names of its own.
pub(crate) fn refuse_generics(input: &DeriveInput, what: &str) -> Result<()> {
    let text = format!(
        "{what} has no generic parameters or bounds, since its wire names are fixed: \
         define one for each type"
    );
    let generics = &input.generics;
    if !generics.params.is_empty() {
        return Err(Error::new_spanned(generics, text));
    }
    match &generics.where_clause {
        None => Ok(()),
        Some(clause) => Err(Error::new_spanned(clause, text)),
    }
}
