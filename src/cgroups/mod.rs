//! Cgroups: one enum of managers, no trait objects.
