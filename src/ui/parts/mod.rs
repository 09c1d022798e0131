//! Building blocks that several pages share: rows, charts, formats of times and numbers, JSON and curl commands.

pub mod chart;
pub mod chart_section;
pub mod columns;
pub mod curl;
pub mod duration_chart;
pub mod eta;
pub mod filters;
pub mod heat_map;
pub mod job_row;
pub mod json_text;
pub mod json_view;
pub mod load;
pub mod node_row;
pub mod queue_groups;
pub mod queue_rank;
pub mod queue_row;
pub mod sample_spark;
pub mod spark;
pub mod time_axis;
pub mod time_format;
pub mod unknown_parameters;
pub mod value_scale;
pub mod visible_text;
pub mod worker_filter;
pub mod worker_row;
