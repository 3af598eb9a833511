//! Any text as a config.json.

#![no_main]

use apportion::model::Model;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| {
    let Ok(model) = Model::from_config_json(text, "fuzz") else { return };
    // Sizes of what is accepted can be summed.
    assert!(model.parameters() > 0);
});
