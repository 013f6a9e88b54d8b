//! Where the parts of `job_desc_msg_t` are.

macro_rules! layout {
    ($($field:ident: $kind:literal,)+) => {
        /// Offsets in bytes, for some versions of Slurm.
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        #[allow(missing_docs)]
        pub struct Layout {
            /// `SLURM_VERSION_NUMBER` of each of them.
            pub versions: &'static [u32],
            $(pub $field: usize,)+
            /// Of the whole.
            pub size: usize,
        }

        impl Layout {
            /// Each field with its type in C and its offset.
            #[must_use]
            pub fn fields(&self) -> Vec<(&'static str, &'static str, usize)> {
                vec![$((stringify!($field), $kind, self.$field),)+]
            }
        }
    };
}

// `generate.sh` reads these lines.
layout! {
    account: "char *",
    array_inx: "char *",
    cpus_per_task: "uint16_t",
    cpus_per_tres: "char *",
    env_size: "uint32_t",
    environment: "char **",
    het_job_offset: "uint32_t",
    mem_per_tres: "char *",
    min_cpus: "uint32_t",
    min_nodes: "uint32_t",
    ntasks_per_node: "uint16_t",
    num_tasks: "uint32_t",
    partition: "char *",
    pn_min_memory: "uint64_t",
    script: "char *",
    script_hash: "slurm_hash_t",
    spank_job_env: "char **",
    spank_job_env_size: "uint32_t",
    std_err: "char *",
    std_out: "char *",
    time_limit: "uint32_t",
    tres_per_job: "char *",
    tres_per_node: "char *",
    tres_per_socket: "char *",
    tres_per_task: "char *",
    user_id: "uint32_t",
}

include!("table.rs");

/// The layout of exactly this version; none if nobody has measured it.
#[must_use]
pub fn of(version: u32) -> Option<&'static Layout> {
    LAYOUTS.iter().find(|layout| layout.versions.contains(&version))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_version_has_one_layout_and_no_other_one_is_guessed() {
        for version in [0x16_05_08, 0x18_0b_05, 0x1a_05_05] {
            assert_eq!(LAYOUTS.iter().filter(|layout| layout.versions.contains(&version)).count(), 1);
        }
        for version in [0, 0x16_05_ff, 0x18_0b_ff, 0x1b_05_00] {
            assert_eq!(of(version), None);
        }
    }

    #[test]
    fn parts_are_within_the_whole_and_do_not_overlap() {
        for layout in LAYOUTS {
            let mut parts: Vec<_> = layout.fields().into_iter().map(|(_, kind, at)| (at, size(kind))).collect();
            parts.sort_unstable();
            for pair in parts.windows(2) {
                assert!(pair[0].0 + pair[0].1 <= pair[1].0, "{pair:?} in {:x?}", layout.versions);
            }
            assert!(parts.last().is_some_and(|(at, size)| at + size <= layout.size));
        }
    }

    fn size(kind: &str) -> usize {
        match kind {
            "uint16_t" => 2,
            "uint32_t" => 4,
            "slurm_hash_t" => 33,
            _ => 8,
        }
    }
}
