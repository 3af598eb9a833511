//! A small reader of markup that accepts what is well-formed and nothing else.

/// An element with what is in it.
#[derive(Debug)]
pub struct Element {
    pub name: String,
    pub attributes: Vec<(String, String)>,
    pub content: Vec<Node>,
}

#[derive(Debug)]
pub enum Node {
    Element(Element),
    Text(String),
}

impl Element {
    pub fn get(&self, name: &str) -> Option<&str> {
        self.attributes.iter().find(|(of, _)| of == name).map(|(_, value)| value.as_str())
    }

    /// All the text in it.
    pub fn text(&self) -> String {
        let text = |node: &Node| match node {
            Node::Text(text) => text.clone(),
            Node::Element(element) => element.text(),
        };
        self.content.iter().map(text).collect()
    }

    /// Itself and all elements in it, in order.
    pub fn each(&self, see: &mut impl FnMut(&Self)) {
        see(self);
        for node in &self.content {
            if let Node::Element(element) = node {
                element.each(see);
            }
        }
    }

    /// The first element of that name.
    pub fn find(&self, name: &str) -> Option<&Self> {
        if self.name == name {
            return Some(self);
        }
        self.content.iter().find_map(|node| match node {
            Node::Element(element) => element.find(name),
            Node::Text(_) => None,
        })
    }
}

/// The one element of a document; panics where it is not well-formed.
#[track_caller]
pub fn parse(text: &str) -> Element {
    let body = text.strip_prefix("<!DOCTYPE html>\n").unwrap_or(text);
    let mut rest = body;
    let root = element(&mut rest);
    assert_eq!(rest.trim(), "", "something after the end");
    root
}

#[track_caller]
fn element(rest: &mut &str) -> Element {
    let inside = rest.strip_prefix('<').unwrap_or_else(|| panic!("no element: {}", cut(rest)));
    let end = inside.find('>').unwrap_or_else(|| panic!("a tag without end: {}", cut(inside)));
    let (tag, after) = (&inside[..end], &inside[end + 1..]);
    let (tag, empty) = tag.strip_suffix('/').map_or((tag, false), |tag| (tag, true));
    let name_end = tag.find([' ', '\n']).unwrap_or(tag.len());
    let (name, attributes) = tag.split_at(name_end);
    assert!(!name.is_empty() && name.bytes().all(|b| b.is_ascii_alphanumeric()), "<{}>", cut(tag));
    let mut all =
        Element { name: name.to_owned(), attributes: read_attributes(attributes), content: vec![] };
    *rest = after;
    if empty {
        return all;
    }
    loop {
        if let Some(closing) = rest.strip_prefix("</") {
            let after = closing.strip_prefix(name).and_then(|after| after.strip_prefix('>'));
            *rest = after.unwrap_or_else(|| panic!("<{name}> is closed by </{}", cut(closing)));
            return all;
        }
        if rest.starts_with('<') {
            all.content.push(Node::Element(element(rest)));
            continue;
        }
        let end = rest.find('<').unwrap_or_else(|| panic!("<{name}> has no end"));
        all.content.push(Node::Text(plain(&rest[..end])));
        *rest = &rest[end..];
    }
}

#[track_caller]
fn read_attributes(mut text: &str) -> Vec<(String, String)> {
    let mut all: Vec<(String, String)> = Vec::new();
    loop {
        text = text.trim_start();
        if text.is_empty() {
            return all;
        }
        let (name, quoted) =
            text.split_once("=\"").unwrap_or_else(|| panic!("no value: {}", cut(text)));
        let fits = |b: u8| b.is_ascii_alphanumeric() || b"-_:".contains(&b);
        assert!(!name.is_empty() && name.bytes().all(fits), "attribute {}", cut(name));
        assert!(all.iter().all(|(other, _)| other != name), "{name} twice");
        let (value, after) =
            quoted.split_once('"').unwrap_or_else(|| panic!("open value: {}", cut(quoted)));
        assert!(!value.contains('<'), "{}", cut(value));
        assert!(after.is_empty() || after.starts_with([' ', '\n']), "{}", cut(after));
        all.push((name.to_owned(), plain(value)));
        text = after;
    }
}

/// What was escaped, as it is.
#[track_caller]
fn plain(text: &str) -> String {
    let mut out = String::new();
    let mut parts = text.split('&');
    out.push_str(parts.next().unwrap());
    for part in parts {
        let (entity, rest) =
            part.split_once(';').unwrap_or_else(|| panic!("a bare &: {}", cut(part)));
        out.push(match entity {
            "amp" => '&',
            "lt" => '<',
            "gt" => '>',
            "quot" => '"',
            "#39" => '\'',
            other => panic!("&{};", cut(other)),
        });
        out.push_str(rest);
    }
    out
}

fn cut(text: &str) -> String {
    text.chars().take(80).collect()
}

#[test]
fn it_refuses_what_is_not_well_formed() {
    for text in [
        "<a><b></a></b>",
        "<a b=c></a>",
        "<a b=\"1\" b=\"2\"></a>",
        "<a>&nbsp;</a>",
        "<a>& </a>",
        "<a b=\"<\"></a>",
        "<a></a><b></b>",
        "<a>",
        "<a b></a>",
    ] {
        let read = std::panic::catch_unwind(|| parse(text));
        assert!(read.is_err(), "{text}");
    }
    let read = parse("<a b=\"&quot;\"><c/>x &lt;</a>");
    assert_eq!((read.get("b"), read.text().as_str()), (Some("\""), "x <"));
}
