//! Capability sets by name: what the config asks for, cut to what this kernel knows.

use rustix::thread::CapabilitySet;

/// The bit of `name` ("CAP_CHOWN"), where it is one that tare knows.
pub fn bit(name: &str) -> Option<u64> {
    let name = name.strip_prefix("CAP_")?;
    CapabilitySet::from_name(name).map(|set| set.bits())
}

/// Every capability that tare and the running kernel know, in the kernel's order.
///
/// The kernel's newest is asked for by prctl(2): a capability it does not know is not in the
/// bounding set, but neither absent.
pub fn known_to_kernel() -> impl Iterator<Item = (String, CapabilitySet)> {
    CapabilitySet::all()
        .iter_names()
        .filter(|(_, set)| rustix::thread::capability_is_in_bounding_set(*set).is_ok())
        .map(|(name, set)| (format!("CAP_{name}"), set))
}
