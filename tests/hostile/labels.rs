//! Security labels, where the kernel has a module for them: see tests/hosts for a machine.

use crate::harness::{Sandbox, tests};
use serde_json::json;

tests![label_without_a_module_is_refused];

/// A label that cannot be set is no start, never a container without it.
fn label_without_a_module_is_refused(t: &Sandbox) {
    for (key, label) in [
        ("apparmorProfile", "no-such-profile"),
        ("selinuxLabel", "no_u:no_r:no_such_t:s0"),
    ] {
        let mut c = t.container();
        c.set(&format!("/process/{key}"), json!(label))
            .args(["true"]);
        c.run().fails().says(key);
        t.assert_nothing_left();
    }
}
