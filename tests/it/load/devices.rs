//! Names of a placement become memory with budgets.

use apportion::hardware::DeviceKind;
use apportion::load::devices::{Backing, Binding, Budget, Planned, Wishes, bind};
use apportion::model::ComponentId;
use apportion::placement::Record;
use apportion::verify::DeviceUse;

use super::super::binary::Bench;
use super::files::{Files, llama, open, record, scenario};

/// A GPU with a name that no machine has a GPU for, another, and a CPU.
fn planned() -> Vec<Planned> {
    let device = |id: &str, kind, capacity_bytes, reserve_bytes| Planned {
        id: id.to_owned(),
        kind,
        capacity_bytes,
        reserve_bytes,
        on_it: DeviceUse::default(),
    };
    vec![
        device("gpu1022", DeviceKind::Gpu, 8 << 30, 1 << 30),
        device("gpu1023", DeviceKind::Gpu, 4 << 30, 0),
        device("cpu", DeviceKind::Cpu, 2 << 30, 0),
    ]
}

fn wishes(bindings: &[&str], budgets: &[&str]) -> Wishes {
    Wishes {
        bindings: bindings.iter().map(|text| text.parse::<Binding>().unwrap()).collect(),
        budgets: budgets.iter().map(|text| text.parse::<Budget>().unwrap()).collect(),
        threads: 1,
    }
}

/// Every command that puts weights on devices asks here first what is planned for them.
#[test]
fn a_placement_of_replicated_attention_is_for_other_runtimes() {
    let bench = Bench::new();
    let run = bench.line(
        "solve mixtral-8x7b --quant q4_k_m --gpu 24GiB --gpu 24GiB --attention replicated -o map.yaml",
    );
    assert_eq!(run.code, 0, "{run:?}");
    let record = Record::from_yaml(&bench.read("map.yaml"), "map.yaml", None).unwrap();
    let error = Planned::of(&record).unwrap_err();
    assert!(error.to_string().contains("found replicated attention"), "{error}");
    assert!(error.hint_text().unwrap().contains("--attention single"), "{error:?}");
    bench.line("load map.yaml --weights none.gguf").refuses(&["none.gguf"]);
}

#[test]
fn gpus_that_are_not_there_are_cpu_memory_of_the_same_size_and_it_is_said() {
    let bound = bind(&planned(), &wishes(&["gpu1023=cpu"], &["gpu1023=3GiB"])).unwrap();
    let devices: Vec<_> = bound
        .devices
        .iter()
        .map(|d| (d.id.as_str(), d.index, d.backing, d.ledger.budget_bytes()))
        .collect();
    assert_eq!(
        devices,
        [
            ("gpu1022", 0, Backing::Cpu, 7 << 30),
            ("gpu1023", 1, Backing::Cpu, 3 << 30),
            ("cpu", 2, Backing::Cpu, 2 << 30),
        ]
    );
    let [notice] = &bound.notices[..] else { panic!("{:?}", bound.notices) };
    let said = "gpu1022 is CPU memory here, of which it may use 7.00 GiB: no cuda:1022, ";
    assert!(notice.starts_with(said), "{notice}");
}

#[test]
fn what_cannot_be_bound_is_refused() {
    for (bindings, budgets, threads, words) in [
        (&["gpu102=cpu"][..], &[][..], 1, &["gpu102", "gpu1022, gpu1023, cpu"][..]),
        (&["cpu=cpu", "cpu=cpu"], &[], 1, &["bind the device `cpu`", "it twice"]),
        (&[], &["cpu=1GiB", "cpu=1GiB"], 1, &["budget the device `cpu`", "it twice"]),
        (&[], &["gpu0=1GiB"], 1, &["budget the device `gpu0`", "another name"]),
        (&["cpu=cuda:1021"], &[], 1, &["`cpu=cuda:1021`", "a CUDA device that can be used"]),
        (&[], &[], 0, &["1 to 1024 for each device, found 0"]),
        (&[], &[], 1025, &["1 to 1024 for each device, found 1025"]),
    ] {
        let wishes = Wishes { threads, ..wishes(bindings, budgets) };
        let message = bind(&planned(), &wishes).unwrap_err().to_string();
        for word in words {
            assert!(message.contains(word), "{word} in {message}");
        }
    }
    let error = bind(&planned(), &wishes(&["gpu102=cpu"], &[])).unwrap_err();
    assert!(error.hint_text().unwrap().contains("did you mean `gpu1022`"), "{error:?}");
}

#[test]
fn what_is_planned_is_what_the_verifier_measures() {
    let folder = Files::of(llama()).write();
    let (_, files) = open(folder.path());
    let record = record(&scenario(&files, "f16"));
    let planned = Planned::of(&record).unwrap();
    assert_eq!(planned.len(), 3);
    for (planned, recorded) in planned.iter().zip(&record.devices) {
        assert_eq!(planned.id, recorded.id);
        assert_eq!(planned.on_it.weights_bytes, recorded.weights_bytes);
        assert_eq!(planned.on_it.kv_cache_bytes, recorded.kv_cache_bytes);
        assert_eq!(planned.on_it.workspace_bytes, recorded.workspace_bytes);
        assert_eq!(planned.on_it.staging_bytes, recorded.staging_bytes);
    }
    let weights: u64 = planned.iter().map(|planned| planned.on_it.weights_bytes).sum();
    assert_eq!(weights, 2 * files.parameters());
    assert_eq!(planned[0].budget_bytes(), 63 << 20, "the user's reserve stays free");
}

#[test]
fn a_placement_that_does_not_hold_is_not_loaded() {
    let folder = Files::of(llama()).write();
    let (_, files) = open(folder.path());
    let mut record = record(&scenario(&files, "f16"));
    let last = record.homes.len() - 1;
    assert_eq!(record.homes[last].0, ComponentId::OutputHead);
    record.homes[last].1 = (record.homes[last].1 + 1) % 3;
    let message = Planned::of(&record).unwrap_err().to_string();
    let wanted = "cannot use the placement: final_norm: expected on the device of output_head";
    assert!(message.starts_with(wanted), "{message}");
}
