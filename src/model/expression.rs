//! The arithmetic of family templates: integers, comparisons and logic over config keys.
//!
//! Expressions come from files, so everything is bounded and checked: length, nesting, overflow, and
//! division, which must come out even because a shape has no fractions.

mod functions;
mod parser;

use std::collections::BTreeMap;
use std::fmt;

use serde::de::{self, Deserialize, Deserializer, Visitor};

use functions::Function;
use parser::parse;

const CHARS_MAX: usize = 300;

/// What an expression can be about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Value {
    Integer(i64),
    Boolean(bool),
    Text(String),
    Integers(Vec<i64>),
    Texts(Vec<String>),
}

impl Value {
    fn kind(&self) -> &'static str {
        match self {
            Self::Integer(_) => "a number",
            Self::Boolean(_) => "true or false",
            Self::Text(_) => "text",
            Self::Integers(_) => "a list of numbers",
            Self::Texts(_) => "a list of words",
        }
    }
}

/// The names an expression may use: config keys, and `layer` inside a layer.
#[derive(Clone, Copy, Debug)]
pub(super) struct Scope<'a> {
    pub(super) keys: &'a BTreeMap<String, Value>,
    pub(super) layer: Option<u32>,
}

impl Scope<'_> {
    fn get(&self, name: &str) -> Option<Value> {
        match (name, self.layer) {
            ("layer", Some(layer)) => Some(Value::Integer(i64::from(layer))),
            _ => self.keys.get(name).cloned(),
        }
    }
}

/// A parsed expression, with its text for messages.
#[derive(Clone, Debug)]
pub(super) struct Expression {
    text: String,
    root: Node,
}

#[derive(Clone, Debug)]
enum Node {
    Constant(Value),
    Name(String),
    /// An item of the list of that name.
    Item(String, Box<Node>),
    Call(Function, Vec<Node>),
    Not(Box<Node>),
    Binary(Operator, Box<Node>, Box<Node>),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Operator {
    Or,
    And,
    Equal,
    Different,
    Less,
    LessOrEqual,
    Greater,
    GreaterOrEqual,
    In,
    Add,
    Subtract,
    Multiply,
    Divide,
    Remainder,
}

impl Expression {
    /// Parses the whole text.
    pub(super) fn parse(text: &str) -> Result<Self, String> {
        if text.len() > CHARS_MAX {
            return Err(format!("an expression of more than {CHARS_MAX} characters"));
        }
        Ok(Self { text: text.to_owned(), root: parse(text)? })
    }

    /// Every name it uses.
    pub(super) fn names(&self) -> Vec<&str> {
        let mut names = Vec::new();
        collect(&self.root, &mut names);
        names
    }

    /// Its value, or why it has none.
    pub(super) fn evaluate(&self, scope: Scope<'_>) -> Result<Value, String> {
        evaluate(&self.root, scope).map_err(|why| format!("{why}, in `{}`", self.text))
    }

    /// Its value, which must be an integer.
    pub(super) fn integer(&self, scope: Scope<'_>) -> Result<i64, String> {
        match self.evaluate(scope)? {
            Value::Integer(value) => Ok(value),
            other => Err(format!("`{}` is {}, not a number", self.text, other.kind())),
        }
    }

    /// Its value, which must be a truth value.
    pub(super) fn boolean(&self, scope: Scope<'_>) -> Result<bool, String> {
        match self.evaluate(scope)? {
            Value::Boolean(value) => Ok(value),
            other => Err(format!("`{}` is {}, not true or false", self.text, other.kind())),
        }
    }
}

fn collect<'a>(node: &'a Node, names: &mut Vec<&'a str>) {
    match node {
        Node::Constant(_) => {}
        Node::Name(name) => names.push(name),
        Node::Item(list, index) => {
            names.push(list);
            collect(index, names);
        }
        Node::Call(_, arguments) => arguments.iter().for_each(|node| collect(node, names)),
        Node::Not(inner) => collect(inner, names),
        Node::Binary(_, left, right) => {
            collect(left, names);
            collect(right, names);
        }
    }
}

fn evaluate(node: &Node, scope: Scope<'_>) -> Result<Value, String> {
    match node {
        Node::Constant(value) => Ok(value.clone()),
        Node::Name(name) => scope.get(name).ok_or_else(|| format!("no value for `{name}`")),
        Node::Item(list, index) => item(list, &evaluate(index, scope)?, scope),
        Node::Call(function, arguments) => function.call(arguments, scope),
        Node::Not(inner) => Ok(Value::Boolean(!truth(evaluate(inner, scope)?)?)),
        Node::Binary(operator @ (Operator::And | Operator::Or), left, right) => {
            // The right side may only make sense when the left one holds.
            let left = truth(evaluate(left, scope)?)?;
            if left == (*operator == Operator::Or) {
                return Ok(Value::Boolean(left));
            }
            Ok(Value::Boolean(truth(evaluate(right, scope)?)?))
        }
        Node::Binary(operator, left, right) => {
            apply(*operator, evaluate(left, scope)?, evaluate(right, scope)?)
        }
    }
}

/// The item of a list; counting starts at 0, as layers do.
fn item(list: &str, index: &Value, scope: Scope<'_>) -> Result<Value, String> {
    let Value::Integer(index) = index else {
        return Err(format!("{} is no place in `{list}`", index.kind()));
    };
    let at = usize::try_from(*index).ok();
    let found = match scope.get(list) {
        Some(Value::Integers(items)) => {
            at.and_then(|at| items.get(at)).copied().map(Value::Integer)
        }
        Some(Value::Texts(items)) => at.and_then(|at| items.get(at)).cloned().map(Value::Text),
        _ => return Err(format!("`{list}` is no list")),
    };
    found.ok_or_else(|| format!("`{list}` has no item {index}"))
}

fn truth(value: Value) -> Result<bool, String> {
    match value {
        Value::Boolean(value) => Ok(value),
        other => Err(format!("expected true or false, found {}", other.kind())),
    }
}

fn apply(operator: Operator, left: Value, right: Value) -> Result<Value, String> {
    match (operator, left, right) {
        (Operator::In, Value::Integer(item), Value::Integers(list)) => {
            Ok(Value::Boolean(list.contains(&item)))
        }
        (Operator::In, Value::Text(item), Value::Texts(list)) => {
            Ok(Value::Boolean(list.contains(&item)))
        }
        // The empty list has no kind of its own.
        (Operator::In, Value::Text(_), Value::Integers(list)) if list.is_empty() => {
            Ok(Value::Boolean(false))
        }
        (Operator::Equal, Value::Text(left), Value::Text(right)) => {
            Ok(Value::Boolean(left == right))
        }
        (Operator::Different, Value::Text(left), Value::Text(right)) => {
            Ok(Value::Boolean(left != right))
        }
        (operator, Value::Integer(left), Value::Integer(right)) => compare(operator, left, right)
            .map_or_else(
                || calculate(operator, left, right).map(Value::Integer),
                |truth| Ok(Value::Boolean(truth)),
            ),
        (_, left, right) => Err(format!("cannot combine {} and {}", left.kind(), right.kind())),
    }
}

fn compare(operator: Operator, left: i64, right: i64) -> Option<bool> {
    Some(match operator {
        Operator::Equal => left == right,
        Operator::Different => left != right,
        Operator::Less => left < right,
        Operator::LessOrEqual => left <= right,
        Operator::Greater => left > right,
        Operator::GreaterOrEqual => left >= right,
        _ => return None,
    })
}

fn calculate(operator: Operator, left: i64, right: i64) -> Result<i64, String> {
    let value = match operator {
        Operator::Add => left.checked_add(right),
        Operator::Subtract => left.checked_sub(right),
        Operator::Multiply => left.checked_mul(right),
        Operator::Divide | Operator::Remainder if right == 0 => {
            return Err(format!("{left} is divided by zero"));
        }
        Operator::Divide if left.checked_rem(right) != Some(0) => {
            return Err(format!("{left} / {right} is not a whole number"));
        }
        Operator::Divide => left.checked_div(right),
        Operator::Remainder => left.checked_rem(right),
        _ => return Err("a number where true or false was expected".to_owned()),
    };
    value.ok_or_else(|| format!("{left} and {right} lead beyond 64 bits"))
}

impl<'de> Deserialize<'de> for Expression {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct FromScalar;

        impl Visitor<'_> for FromScalar {
            type Value = Expression;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an expression")
            }

            fn visit_str<E: de::Error>(self, text: &str) -> Result<Expression, E> {
                Expression::parse(text).map_err(E::custom)
            }

            fn visit_u64<E: de::Error>(self, value: u64) -> Result<Expression, E> {
                Expression::parse(&value.to_string()).map_err(E::custom)
            }

            fn visit_bool<E: de::Error>(self, value: bool) -> Result<Expression, E> {
                Expression::parse(&value.to_string()).map_err(E::custom)
            }
        }

        deserializer.deserialize_any(FromScalar)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn value(text: &str) -> Result<Value, String> {
        let keys = BTreeMap::from([
            ("hidden".to_owned(), Value::Integer(4096)),
            ("heads".to_owned(), Value::Integer(32)),
            ("tied".to_owned(), Value::Boolean(false)),
            ("rope".to_owned(), Value::Text("llama3".to_owned())),
            ("dense".to_owned(), Value::Integers(vec![0, 3])),
            ("kinds".to_owned(), Value::Texts(["full", "window"].map(str::to_owned).to_vec())),
        ]);
        Expression::parse(text)?.evaluate(Scope { keys: &keys, layer: Some(3) })
    }

    #[test]
    fn arithmetic_binds_as_usual() {
        assert_eq!(value("hidden / heads"), Ok(Value::Integer(128)));
        assert_eq!(value("2 + 3 * 4 - 1"), Ok(Value::Integer(13)));
        assert_eq!(value("(2 + 3) * 4 % 7"), Ok(Value::Integer(6)));
        assert_eq!(value("10 - 3 - 2"), Ok(Value::Integer(5)));
    }

    #[test]
    fn logic_reads_like_a_sentence() {
        assert_eq!(value("not tied and rope == \"llama3\""), Ok(Value::Boolean(true)));
        assert_eq!(value("not (layer in dense) or tied"), Ok(Value::Boolean(false)));
        assert_eq!(value("heads > 0 and (layer + 1) % 2 == 0"), Ok(Value::Boolean(true)));
        assert_eq!(value("heads == 0 and 1 / 0 == 1"), Ok(Value::Boolean(false)));
    }

    #[test]
    fn functions_and_items() {
        assert_eq!(value("if(tied, 1 / 0, 7)"), Ok(Value::Integer(7)));
        assert_eq!(value("min(3, 2) + max(3, 2)"), Ok(Value::Integer(5)));
        assert_eq!(value("ceil_div(4097, 16)"), Ok(Value::Integer(257)));
        assert_eq!(value("ceil_div(0 - 9223372036854775807, 1)"), Ok(Value::Integer(-i64::MAX)));
        assert_eq!(value("kinds[layer - 2] == \"window\""), Ok(Value::Boolean(true)));
        assert_eq!(value("length(dense) + length(kinds)"), Ok(Value::Integer(4)));
        assert_eq!(value("\"window\" in kinds"), Ok(Value::Boolean(true)));
    }

    #[test]
    fn nonsense_has_a_reason_and_no_value() {
        let deep = "(".repeat(200);
        for (text, reason) in [
            ("hidden / 3", "not a whole number"),
            ("1 / 0", "divided by zero"),
            ("9223372036854775807 + 1", "beyond 64 bits"),
            ("99999999999999999999", "no number"),
            ("tied + 1", "cannot combine"),
            ("1 and tied", "expected true or false"),
            ("unknown", "no value"),
            ("kinds[2]", "no item 2"),
            ("kinds[0 - 1]", "no item -1"),
            ("kinds[tied]", "no place"),
            ("tied[0]", "no list"),
            ("kinds[0", "missing `]`"),
            ("round(1, 2)", "no function"),
            ("min(1)", "takes 2 arguments"),
            ("min(1, 2", "missing `)`"),
            ("ceil_div(1, 0)", "divided by 0"),
            ("length(hidden)", "no length"),
            ("1 2", "left over"),
            ("1 +", "ends too early"),
            ("(1", "missing `)`"),
            ("and", "a value was expected"),
            ("a ? b", "has no meaning"),
            ("", "ends too early"),
            (&deep, "nested too deep"),
            (&"1+".repeat(400), "more than"),
        ] {
            let why = value(text).unwrap_err();
            assert!(why.contains(reason), "{text}: {why}");
        }
    }
}
