//! From tokens to the tree of an expression: precedence and nesting, nothing about values.

use super::functions::Function;
use super::{Node, Operator, Value};
use crate::model::token::{Token, tokenize};

const DEPTH_MAX: usize = 32;

/// Binary operators by how loosely they bind, loosest first; `not` binds between the second and third.
const LEVELS: [&[(&str, Operator)]; 5] = [
    &[("or", Operator::Or)],
    &[("and", Operator::And)],
    &[
        ("==", Operator::Equal),
        ("!=", Operator::Different),
        ("<=", Operator::LessOrEqual),
        (">=", Operator::GreaterOrEqual),
        ("<", Operator::Less),
        (">", Operator::Greater),
        ("in", Operator::In),
    ],
    &[("+", Operator::Add), ("-", Operator::Subtract)],
    &[("*", Operator::Multiply), ("/", Operator::Divide), ("%", Operator::Remainder)],
];
const NOT_LEVEL: usize = 2;

/// Parses the whole text.
pub(super) fn parse(text: &str) -> Result<Node, String> {
    let tokens = tokenize(text)?;
    let mut parser = Parser { tokens: &tokens, at: 0, depth: 0 };
    let root = parser.level(0)?;
    match parser.tokens.get(parser.at) {
        Some(token) => Err(format!("`{token}` left over in `{text}`")),
        None => Ok(root),
    }
}

struct Parser<'a> {
    tokens: &'a [Token],
    at: usize,
    depth: usize,
}

impl Parser<'_> {
    fn take(&mut self, spelling: &str) -> bool {
        let found = match self.tokens.get(self.at) {
            Some(Token::Symbol(symbol)) => *symbol == spelling,
            Some(Token::Word(word)) => word == spelling,
            _ => false,
        };
        self.at += usize::from(found);
        found
    }

    fn level(&mut self, level: usize) -> Result<Node, String> {
        if level == NOT_LEVEL && self.take("not") {
            return Ok(Node::Not(Box::new(self.nested(NOT_LEVEL)?)));
        }
        let Some(operators) = LEVELS.get(level) else { return self.primary() };
        let mut left = self.level(level + 1)?;
        while let Some(&(_, operator)) = operators.iter().find(|(spelling, _)| self.take(spelling))
        {
            let right = self.level(level + 1)?;
            left = Node::Binary(operator, Box::new(left), Box::new(right));
        }
        Ok(left)
    }

    fn nested(&mut self, level: usize) -> Result<Node, String> {
        self.depth += 1;
        if self.depth > DEPTH_MAX {
            return Err("an expression nested too deep".to_owned());
        }
        let node = self.level(level);
        self.depth -= 1;
        node
    }

    fn primary(&mut self) -> Result<Node, String> {
        if self.take("(") {
            let inner = self.nested(0)?;
            return if self.take(")") { Ok(inner) } else { Err("a missing `)`".to_owned()) };
        }
        let token = self.tokens.get(self.at).ok_or("an expression that ends too early")?;
        self.at += 1;
        match token {
            Token::Integer(value) => Ok(Node::Constant(Value::Integer(*value))),
            Token::Text(text) => Ok(Node::Constant(Value::Text(text.clone()))),
            // The empty list, for keys like `mlp_only_layers`.
            Token::Word(word) if word == "none" => Ok(Node::Constant(Value::Integers(Vec::new()))),
            Token::Word(word) if word == "true" || word == "false" => {
                Ok(Node::Constant(Value::Boolean(word == "true")))
            }
            Token::Word(word) if !["and", "or", "not", "in"].contains(&word.as_str()) => {
                self.after_name(word)
            }
            other => Err(format!("`{other}` where a value was expected")),
        }
    }

    /// A name by itself, an item of the list it names, or a function with its arguments.
    fn after_name(&mut self, word: &str) -> Result<Node, String> {
        if self.take("[") {
            let index = self.nested(0)?;
            let item = Node::Item(word.to_owned(), Box::new(index));
            return if self.take("]") { Ok(item) } else { Err("a missing `]`".to_owned()) };
        }
        if !self.take("(") {
            return Ok(Node::Name(word.to_owned()));
        }
        let function = Function::parse(word)?;
        let mut arguments = Vec::new();
        loop {
            arguments.push(self.nested(0)?);
            if self.take(")") {
                break;
            }
            if !self.take(",") {
                return Err(format!("a missing `)` after the arguments of `{word}`"));
            }
        }
        function.check(arguments.len())?;
        Ok(Node::Call(function, arguments))
    }
}
