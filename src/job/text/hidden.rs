//! Characters that cannot be seen. Names must not have any, and pages show them as escapes.

/// Whether a character cannot be seen or changes the direction of others: the categories Cc and Cf of Unicode, line and
/// paragraph separators, and the letters without a shape among the default ignorable code points.
pub fn is_hidden(char: char) -> bool {
    char.is_control()
        || matches!(
            char,
            '\u{ad}'
                | '\u{34f}'
                | '\u{600}'..='\u{605}'
                | '\u{61c}'
                | '\u{6dd}'
                | '\u{70f}'
                | '\u{890}'..='\u{891}'
                | '\u{8e2}'
                | '\u{115f}'..='\u{1160}'
                | '\u{17b4}'..='\u{17b5}'
                | '\u{180b}'..='\u{180f}'
                | '\u{200b}'..='\u{200f}'
                | '\u{2028}'..='\u{202e}'
                | '\u{2060}'..='\u{206f}'
                | '\u{2800}'
                | '\u{3164}'
                | '\u{feff}'
                | '\u{ffa0}'
                | '\u{fff0}'..='\u{fffb}'
                | '\u{fffe}'..='\u{ffff}'
                | '\u{110bd}'
                | '\u{110cd}'
                | '\u{13430}'..='\u{1343f}'
                | '\u{1bca0}'..='\u{1bca3}'
                | '\u{1d173}'..='\u{1d17a}'
                | '\u{e0000}'..='\u{e0fff}'
        )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_has_a_shape_or_is_a_space_is_visible() {
        for visible in ['a', 'ü', ' ', '\u{a0}', '\u{3000}', '☕', '\u{301}'] {
            assert!(!is_hidden(visible), "{visible:?}");
        }
        for hidden in
            ['\0', '\n', '\u{7f}', '\u{85}', '\u{200b}', '\u{202e}', '\u{2069}', '\u{e0041}']
        {
            assert!(is_hidden(hidden), "{hidden:?}");
        }
    }
}
