//! Files of both formats, put together from parts so that each part can lie.

use serde_json::json;

/// A safetensors file of any header, with `data_bytes` zeros behind it.
pub fn safetensors(header: &str, data_bytes: usize) -> Vec<u8> {
    let length = u64::try_from(header.len()).unwrap();
    let mut file = length.to_le_bytes().to_vec();
    file.extend(header.bytes());
    file.resize(file.len() + data_bytes, 0);
    file
}

/// A safetensors file that is right, of tensors of F32 with one dimension.
pub fn of_floats(tensors: &[(&str, usize)]) -> Vec<u8> {
    let mut header = serde_json::Map::new();
    let mut end = 0;
    for (name, elements) in tensors {
        let start = end;
        end += elements * 4;
        let info = json!({"dtype": "F32", "shape": [elements], "data_offsets": [start, end]});
        header.insert((*name).to_owned(), info);
    }
    safetensors(&serde_json::Value::Object(header).to_string(), end)
}

/// An index of these tensors and files.
pub fn index(tensors: &[(&str, &str)]) -> String {
    let map = |pairs: &[(&str, &str)]| -> serde_json::Map<String, serde_json::Value> {
        pairs.iter().map(|(name, file)| ((*name).to_owned(), json!(file))).collect()
    };
    json!({"metadata": {}, "weight_map": map(tensors)}).to_string()
}

/// Type numbers of GGUF values.
pub mod kind {
    pub const U16: u32 = 2;
    pub const U32: u32 = 4;
    pub const I32: u32 = 5;
    pub const F32: u32 = 6;
    pub const BOOL: u32 = 7;
    pub const TEXT: u32 = 8;
    pub const LIST: u32 = 9;
    pub const U64: u32 = 10;
}

/// A text as GGUF stores it.
pub fn text(text: &str) -> Vec<u8> {
    let length = u64::try_from(text.len()).unwrap();
    [&length.to_le_bytes(), text.as_bytes()].concat()
}

/// A list as GGUF stores it.
pub fn list(kind: u32, items: u64, content: &[u8]) -> Vec<u8> {
    [&kind.to_le_bytes()[..], &items.to_le_bytes(), content].concat()
}

/// A GGUF file.
#[derive(Clone)]
pub struct Gguf {
    pub magic: [u8; 4],
    pub version: u32,
    /// Instead of how many there are.
    pub tensor_count: Option<u64>,
    /// Instead of how many there are.
    pub value_count: Option<u64>,
    pub values: Vec<u8>,
    pub infos: Vec<u8>,
    pub alignment: usize,
    /// Behind the header and its padding.
    pub data_bytes: usize,
    /// How many tensors and values there are.
    pub counts: [u64; 2],
}

impl Gguf {
    /// Version 3 without anything in it.
    pub fn new() -> Self {
        Self {
            magic: *b"GGUF",
            version: 3,
            tensor_count: None,
            value_count: None,
            values: Vec::new(),
            infos: Vec::new(),
            alignment: 32,
            data_bytes: 0,
            counts: [0; 2],
        }
    }

    /// With one more value.
    pub fn value(mut self, key: &str, kind: u32, content: &[u8]) -> Self {
        self.values.extend(text(key));
        self.values.extend(kind.to_le_bytes());
        self.values.extend(content);
        self.counts[1] += 1;
        self
    }

    /// With one more tensor, its dimensions innermost first.
    pub fn tensor(mut self, name: &str, dimensions: &[u64], kind: u32, offset: u64) -> Self {
        self.infos.extend(text(name));
        self.infos.extend(u32::try_from(dimensions.len()).unwrap().to_le_bytes());
        self.infos.extend(dimensions.iter().flat_map(|n| n.to_le_bytes()));
        self.infos.extend(kind.to_le_bytes());
        self.infos.extend(offset.to_le_bytes());
        self.counts[0] += 1;
        self
    }

    /// With so much data.
    pub fn data(mut self, bytes: usize) -> Self {
        self.data_bytes = bytes;
        self
    }

    /// The whole file.
    pub fn file(&self) -> Vec<u8> {
        let mut file = self.magic.to_vec();
        file.extend(self.version.to_le_bytes());
        file.extend(self.tensor_count.unwrap_or(self.counts[0]).to_le_bytes());
        file.extend(self.value_count.unwrap_or(self.counts[1]).to_le_bytes());
        file.extend(&self.values);
        file.extend(&self.infos);
        file.resize(file.len().next_multiple_of(self.alignment) + self.data_bytes, 0);
        file
    }
}
