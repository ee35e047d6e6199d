//! The grammar of `.proto` files, as far as schemas use it.

use super::words::{SyntaxError, Words};
use super::{Call, Constant, Enum, Extend, Field, File, Group, Message, OneOf, Service, Setting, Type, Value};

type Read<T> = Result<T, SyntaxError>;

pub(super) fn parse(text: &str) -> Read<File> {
    let mut parser = Parser { words: Words::of(text), file: File::default() };
    while !parser.words.is_at_end() {
        if !parser.words.take(';') {
            parser.declaration()?;
        }
    }
    Ok(parser.file)
}

struct Parser<'a> {
    words: Words<'a>,
    file: File,
}

impl Parser<'_> {
    fn declaration(&mut self) -> Read<()> {
        self.words.skip();
        let start = self.words.place();
        let label = self.words.word()?;
        match label.as_str() {
            "syntax" => self.syntax(start)?,
            "edition" => {
                return Err(self.words.error_at(start + "edition".len(), "edition is not currently supported"));
            }
            "package" => {
                self.file.package = Some(self.words.word()?);
                self.words.require(';')?;
            }
            "import" => self.import()?,
            "option" => {
                let option = self.option_statement()?;
                self.file.options.push(option);
            }
            "message" => {
                let message = self.message()?;
                self.file.types.push(Type::Message(message));
            }
            "enum" => {
                let choice = self.choice()?;
                self.file.types.push(Type::Enum(choice));
            }
            "extend" => self.extend()?,
            "service" => {
                let service = self.service()?;
                self.file.services.push(service);
            }
            label => return Err(self.words.error_at(start, format!("unexpected label: {label}"))),
        }
        Ok(())
    }

    fn syntax(&mut self, start: usize) -> Read<()> {
        self.words.require('=')?;
        let syntax = self.words.text()?;
        if !matches!(syntax.as_str(), "proto2" | "proto3") {
            return Err(self.words.error_at(start, format!("unexpected syntax: {syntax}")));
        }
        self.file.syntax = Some(syntax);
        self.words.require(';')
    }

    fn import(&mut self) -> Read<()> {
        let is_quoted = matches!(self.words.peek(), Some('"' | '\''));
        let kind = if is_quoted { String::new() } else { self.words.word()? };
        let file = self.words.text()?;
        if kind == "public" {
            self.file.public_imports.push(file);
        } else {
            self.file.imports.push(file);
        }
        self.words.require(';')
    }

    fn message(&mut self) -> Read<Message> {
        let mut message = Message { name: self.words.word()?, ..Message::default() };
        self.words.require('{')?;
        while !self.words.take('}') {
            if !self.words.take(';') {
                self.member(&mut message)?;
            }
        }
        Ok(message)
    }

    fn member(&mut self, message: &mut Message) -> Read<()> {
        self.words.skip();
        let start = self.words.place();
        let word = self.words.word()?;
        match word.as_str() {
            "message" => message.nested.push(Type::Message(self.message()?)),
            "enum" => message.nested.push(Type::Enum(self.choice()?)),
            "option" => message.options.push(self.option_statement()?),
            "oneof" => message.oneofs.push(self.one_of()?),
            "reserved" => message.reserved.push(self.ranges()?),
            "extensions" => message.extensions.push(self.ranges()?),
            "extend" => self.extend()?,
            "required" | "optional" | "repeated" => {
                if word == "required" && self.file.syntax.as_deref() == Some("proto3") {
                    let message = "'required' label forbidden in proto3 field declarations";
                    return Err(self.words.error_at(start, message));
                }
                let kind = self.words.kind()?;
                if kind == "group" {
                    message.groups.push(self.group(Some(word))?);
                } else {
                    message.fields.push(self.field(Some(word), kind)?);
                }
            }
            "group" => message.groups.push(self.group(None)?),
            _ => {
                let kind = self.words.kind_after(word)?;
                message.fields.push(self.field(None, kind)?);
            }
        }
        Ok(())
    }

    fn field(&mut self, label: Option<String>, kind: String) -> Read<Field> {
        let name = self.words.word()?;
        self.words.require('=')?;
        let tag = self.words.number()?;
        let mut options = self.options()?;
        // These two are no options to Wire, which prints them after all others.
        for special in ["default", "json_name"] {
            if let Some(at) = options.iter().position(|option| option.name == special) {
                let option = options.remove(at);
                options.push(option);
            }
        }
        self.words.require(';')?;
        Ok(Field { label, kind, name, tag, options })
    }

    fn group(&mut self, label: Option<String>) -> Read<Group> {
        let name = self.words.word()?;
        self.words.require('=')?;
        let tag = self.words.number()?;
        let mut inner = Message::default();
        self.words.require('{')?;
        while !self.words.take('}') {
            self.member(&mut inner)?;
        }
        Ok(Group { label, name, tag, fields: inner.fields })
    }

    fn one_of(&mut self) -> Read<OneOf> {
        let mut oneof = OneOf { name: self.words.word()?, options: Vec::new(), fields: Vec::new() };
        self.words.require('{')?;
        while !self.words.take('}') {
            if self.words.take(';') {
                continue;
            }
            let word = self.words.word()?;
            if word == "option" {
                oneof.options.push(self.option_statement()?);
            } else {
                let kind = self.words.kind_after(word)?;
                oneof.fields.push(self.field(None, kind)?);
            }
        }
        Ok(oneof)
    }

    fn choice(&mut self) -> Read<Enum> {
        let mut choice = Enum { name: self.words.word()?, ..Enum::default() };
        self.words.require('{')?;
        while !self.words.take('}') {
            if self.words.take(';') {
                continue;
            }
            let name = self.words.word()?;
            match name.as_str() {
                "option" => choice.options.push(self.option_statement()?),
                "reserved" => choice.reserved.push(self.ranges()?),
                _ => {
                    self.words.require('=')?;
                    let tag = self.words.number()?;
                    let options = self.options()?;
                    self.words.require(';')?;
                    choice.constants.push(Constant { name, tag, options });
                }
            }
        }
        Ok(choice)
    }

    /// `20, 30 to 35, 100 to max` or `"name", "other"`, as they are printed.
    fn ranges(&mut self) -> Read<Vec<String>> {
        let mut ranges = Vec::new();
        loop {
            if matches!(self.words.peek(), Some('"' | '\'')) {
                ranges.push(format!("\"{}\"", self.words.text()?));
            } else {
                let mut range = self.words.word()?;
                if self.words.peek() == Some('t') {
                    self.words.word()?;
                    range = format!("{range} to {}", self.words.word()?);
                }
                ranges.push(range);
            }
            if !self.words.take(',') {
                break;
            }
        }
        self.options()?;
        self.words.require(';')?;
        Ok(ranges)
    }

    fn extend(&mut self) -> Read<()> {
        let name = self.words.word()?;
        let mut inner = Message::default();
        self.words.require('{')?;
        while !self.words.take('}') {
            self.member(&mut inner)?;
        }
        self.file.extends.push(Extend { name, fields: inner.fields });
        Ok(())
    }

    fn service(&mut self) -> Read<Service> {
        let mut service = Service { name: self.words.word()?, options: Vec::new(), calls: Vec::new() };
        self.words.require('{')?;
        while !self.words.take('}') {
            if self.words.take(';') {
                continue;
            }
            match self.words.word()?.as_str() {
                "option" => service.options.push(self.option_statement()?),
                _ => service.calls.push(self.call()?),
            }
        }
        Ok(service)
    }

    fn call(&mut self) -> Read<Call> {
        let name = self.words.word()?;
        let request = self.streamed()?;
        self.words.word()?;
        let response = self.streamed()?;
        let mut options = Vec::new();
        if self.words.take('{') {
            while !self.words.take('}') {
                if !self.words.take(';') {
                    self.words.word()?;
                    options.push(self.option_statement()?);
                }
            }
        } else {
            self.words.require(';')?;
        }
        Ok(Call { name, request, response, options })
    }

    fn streamed(&mut self) -> Read<(bool, String)> {
        self.words.require('(')?;
        let mut kind = self.words.kind()?;
        let streams = kind == "stream";
        if streams {
            kind = self.words.kind()?;
        }
        self.words.require(')')?;
        Ok((streams, kind))
    }

    fn option_statement(&mut self) -> Read<Setting> {
        let option = self.option('=')?;
        self.words.require(';')?;
        Ok(option)
    }

    /// `[name = value, …]`, if it comes next.
    fn options(&mut self) -> Read<Vec<Setting>> {
        let mut options = Vec::new();
        if !self.words.take('[') {
            return Ok(options);
        }
        loop {
            options.push(self.option('=')?);
            if !self.words.take(',') {
                break;
            }
        }
        self.words.require(']')?;
        Ok(options)
    }

    fn option(&mut self, between: char) -> Read<Setting> {
        let name = self.words.name()?;
        let mut parts = Vec::new();
        if name.starts_with('(') && self.words.peek() == Some('.') {
            let inner = self.words.word()?;
            parts.extend(inner.split('.').filter(|part| !part.is_empty()).map(str::to_owned));
        }
        self.words.require(between)?;
        let mut value = self.value()?;
        for part in parts.into_iter().rev() {
            value = Value::Inner(Box::new(Setting { name: part, value }));
        }
        Ok(Setting { name, value })
    }

    fn value(&mut self) -> Read<Value> {
        match self.words.peek() {
            Some('{') => self.map(),
            Some('[') => self.list(),
            Some('"' | '\'') => Ok(Value::Text(self.words.text()?)),
            _ => Ok(Value::Word(self.words.word()?)),
        }
    }

    fn map(&mut self) -> Read<Value> {
        self.words.require('{')?;
        let mut members = Vec::new();
        while !self.words.take('}') {
            let name = self.words.name()?;
            self.words.take(':');
            members.push((name, self.value()?));
            if !self.words.take(',') {
                self.words.take(';');
            }
        }
        Ok(Value::Map(members))
    }

    fn list(&mut self) -> Read<Value> {
        self.words.require('[')?;
        let mut items = Vec::new();
        while !self.words.take(']') {
            items.push(self.value()?);
            self.words.take(',');
        }
        Ok(Value::List(items))
    }
}
