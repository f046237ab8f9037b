//! The paths that a Rust source file names: enough of the language to find `crate::`, `super::` and `holdfast_...::`, in `use`
//! and in code, and to pass over comments and strings.

/// A path that a file names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Look {
    /// Where, from 1.
    pub line: usize,
    /// `crate` or the name of a crate of ours, and what follows it.
    pub path: Vec<String>,
}

/// The paths in a source file that is this module.
pub fn looks(text: &str, module: &[String]) -> Vec<Look> {
    let tokens = tokens(text);
    let mut found = Vec::new();
    for (at, token) in tokens.iter().enumerate() {
        let after_path = at.checked_sub(1).is_some_and(|before| tokens[before].text == "::");
        let is_root = token.text == "crate" || token.text == "super" || token.text.starts_with("holdfast_");
        if is_root && !after_path {
            let (paths, _) = tree(&tokens[at..]);
            found.extend(paths.into_iter().map(|path| Look { line: token.line, path: resolve(path, module) }));
        }
    }
    found
}

/// `super::x` in the words of the crate. A module inside the file (`mod tests`) has one `super` more than is counted here, so
/// that its look at its own room may seem one at the crate; a name that is no room is then let pass.
fn resolve(path: Vec<String>, module: &[String]) -> Vec<String> {
    let ups = path.iter().take_while(|part| *part == "super").count();
    if ups == 0 {
        return path;
    }
    let kept = module.len().saturating_sub(ups);
    ["crate".to_owned()].into_iter().chain(module[..kept].iter().cloned()).chain(path[ups..].iter().cloned()).collect()
}

/// The paths of a use tree that starts at the first token, and how many tokens it has.
fn tree(tokens: &[Token]) -> (Vec<Vec<String>>, usize) {
    let Some(first) = tokens.first() else { return (Vec::new(), 0) };
    if first.text == "{" {
        return group(tokens);
    }
    if !first.is_name() && first.text != "*" {
        return (Vec::new(), 1);
    }
    let head = vec![first.text.clone()];
    if tokens.get(1).is_none_or(|next| next.text != "::") {
        return (vec![head], 1);
    }
    let (tails, len) = tree(&tokens[2..]);
    let paths = tails.into_iter().map(|tail| [head.clone(), tail].concat()).collect::<Vec<_>>();
    (if paths.is_empty() { vec![head] } else { paths }, len + 2)
}

fn group(tokens: &[Token]) -> (Vec<Vec<String>>, usize) {
    let (mut paths, mut at) = (Vec::new(), 1);
    while tokens.get(at).is_some_and(|token| token.text != "}") {
        let (more, len) = tree(&tokens[at..]);
        paths.extend(more);
        at += len.max(1);
        // `as name` and the comma.
        while tokens.get(at).is_some_and(|token| token.text != "," && token.text != "}") {
            at += 1;
        }
        at += usize::from(tokens.get(at).is_some_and(|token| token.text == ","));
    }
    (paths, at + 1)
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Token {
    line: usize,
    text: String,
}

impl Token {
    fn is_name(&self) -> bool {
        self.text.starts_with(|c: char| c.is_alphabetic() || c == '_')
    }
}

/// Names, `::` and single signs; comments, strings and characters are passed over.
fn tokens(text: &str) -> Vec<Token> {
    let (mut found, mut rest, mut line) = (Vec::new(), text, 1);
    while let Some(first) = rest.chars().next() {
        let len = passed_over(rest).unwrap_or_else(|| {
            let name = rest.find(|c: char| !c.is_alphanumeric() && c != '_').unwrap_or(rest.len());
            let len = if rest.starts_with("::") { 2 } else { name.max(first.len_utf8()) };
            found.push(Token { line, text: rest[..len].into() });
            len
        });
        line += rest[..len].matches('\n').count();
        rest = &rest[len..];
    }
    found
}

/// How many bytes of white space, comment or literal come first; `None` where a token does.
fn passed_over(rest: &str) -> Option<usize> {
    let first = rest.chars().next()?;
    if first.is_whitespace() {
        return Some(first.len_utf8());
    }
    if rest.starts_with("//") {
        return Some(rest.find('\n').unwrap_or(rest.len()));
    }
    if rest.starts_with("/*") {
        return Some(rest.find("*/").map_or(rest.len(), |end| end + 2));
    }
    let unprefixed = rest.strip_prefix('b').unwrap_or(rest);
    let prefix = rest.len() - unprefixed.len();
    if let Some(raw) = unprefixed.strip_prefix('r') {
        let hashes = raw.len() - raw.trim_start_matches('#').len();
        if let Some(body) = raw[hashes..].strip_prefix('"') {
            let end = format!("\"{}", "#".repeat(hashes));
            return Some(prefix + 2 + hashes + body.find(&end).map_or(body.len(), |at| at + end.len()));
        }
    }
    if unprefixed.starts_with('"') {
        return Some(prefix + quoted(unprefixed, '"'));
    }
    let is_character = unprefixed.starts_with("'\\") || (unprefixed.starts_with('\'') && unprefixed.chars().nth(2) == Some('\''));
    is_character.then(|| prefix + quoted(unprefixed, '\''))
}

/// The length of a literal from its opening to its closing quote.
fn quoted(text: &str, quote: char) -> usize {
    let mut escaped = false;
    for (at, c) in text.char_indices().skip(1) {
        match c {
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            c if c == quote => return at + 1,
            _ => {}
        }
    }
    text.len()
}

#[cfg(test)]
mod tests {
    use super::looks;

    fn paths(text: &str) -> Vec<String> {
        let module = ["store".to_owned(), "keeper".to_owned()];
        looks(text, &module).iter().map(|look| format!("{} {}", look.line, look.path.join("::"))).collect()
    }

    #[test]
    fn paths_are_found_in_use_and_in_code_and_nowhere_else() {
        let text = "use crate::db::{access, hosts as h};\nuse crate::{http::*, publish};\n// crate::comment\nlet x = \"crate::text\"; \
                    let c = '\"'; let l: &'static str = r#\"crate::raw\"#;\nholdfast_proto::dns::answer(super::super::uplink::state(), super::slot)";
        let expected = [
            "1 crate::db::access",
            "1 crate::db::hosts",
            "2 crate::http::*",
            "2 crate::publish",
            "5 holdfast_proto::dns::answer",
            "5 crate::uplink::state",
            "5 crate::store::slot",
        ];
        assert_eq!(paths(text), expected);
    }
}
