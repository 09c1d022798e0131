//! The line of an error that says what happened. In a stack trace it is often not the first one: Python prints it last,
//! Java names the root cause in the middle. The table in the tests shows examples.

/// The line above a stack trace of Python. On its own it says nothing.
pub const TRACEBACK: &str = "Traceback (most recent call last):";

/// Returns the line of an error message that says what happened: the exception of a stack trace, the root cause if it
/// is named, and the first line of any other message.
pub fn error_line(message: &str) -> &str {
    let trimmed = message.trim();
    // Most errors have one line, and they are examined for each failed attempt.
    if !trimmed.contains('\n') {
        return ruby(trimmed).or_else(|| rust_panic(&[trimmed])).unwrap_or(trimmed);
    }
    let lines: Vec<&str> = message.lines().map(str::trim_end).collect();
    let first = lines.iter().map(|line| line.trim()).find(|line| !line.is_empty());
    let first = first.unwrap_or_default();
    python(&lines)
        .or_else(|| anyhow(&lines))
        .or_else(|| stack_frames(&lines))
        .or_else(|| go_panic(&lines))
        .or_else(|| rust_panic(&lines))
        .or_else(|| terminate(&lines))
        .or_else(|| ruby(first))
        .filter(|line| !line.is_empty())
        .unwrap_or(first)
}

/// Python: the line after the frames of the last traceback. An exception that replaced another comes last. Frames are
/// indented deeper than the exception, and so are the lines of a syntax error.
fn python<'a>(lines: &[&'a str]) -> Option<&'a str> {
    let is_group = |line: &&str| line.contains("+ Exception Group Traceback (most recent call");
    if let Some(header) = lines.iter().position(is_group) {
        // The exceptions of a group follow in the same frame of `|`; the group itself comes first.
        let inner =
            lines[header + 1..].iter().filter_map(|line| line.trim_start().strip_prefix("| "));
        return inner.into_iter().find(|line| !line.starts_with(' '));
    }
    let is_header = |line: &&str| line.ends_with(TRACEBACK);
    let is_syntax_error = |line: &&str| {
        line.starts_with("  File \"") && line.contains("\", line ") && !line.contains(", in ")
    };
    let header = lines.iter().rposition(is_header);
    let header = header.or_else(|| lines.iter().position(is_syntax_error))?;
    let depth = |line: &str| line.len() - line.trim_start().len();
    let margin = if is_header(&lines[header]) { depth(lines[header]) } else { 0 };
    let after = lines[header + 1..].iter();
    let exception = after.into_iter().find(|line| !line.is_empty() && depth(line) <= margin)?;
    // Ruby prints its last line like Python's, with the place in front.
    Some(ruby(exception).unwrap_or(exception.trim()))
}

/// Java, Kotlin, .NET and JavaScript: frames begin with `at`. The exception stands above them, unless a cause is named.
fn stack_frames<'a>(lines: &[&'a str]) -> Option<&'a str> {
    let is_frame = |line: &&str| {
        let inner = line.trim_start();
        inner.len() < line.len() && inner.starts_with("at ") && inner.contains(['(', ':', '.'])
    };
    let frame = lines.iter().position(is_frame)?;
    if let Some(cause) = lines.iter().rev().find_map(|line| cause(line)) {
        return Some(cause);
    }
    let above = &lines[..frame];
    // Node.js first prints the line of code and marks the place in it.
    let is_mark = |line: &&str| {
        let mark = line.trim();
        !mark.is_empty() && mark.bytes().all(|byte| matches!(byte, b'^' | b'~'))
    };
    let from = above.iter().position(is_mark).map_or(0, |mark| mark + 1);
    let above = &above[from..];
    let named = above.iter().rfind(|line| is_exception(line));
    let line = named.or_else(|| above.iter().find(|line| !line.trim().is_empty()))?.trim();
    let line = line.strip_prefix("Unhandled exception. ").unwrap_or(line);
    // Java: `Exception in thread "main" java.lang.IllegalStateException: closed`
    let line = line
        .strip_prefix("Exception in thread \"")
        .map_or(line, |rest| rest.split_once("\" ").map_or(line, |(_, exception)| exception));
    Some(line.rsplit(" ---> ").next().unwrap_or(line))
}

/// The root cause as Java, .NET and Node.js name it.
fn cause(line: &str) -> Option<&str> {
    let java = line.strip_prefix("Caused by: ");
    let inner = line.trim_start();
    let cause = java.or(inner.strip_prefix("---> ")).or(inner.strip_prefix("[cause]: "))?;
    Some(cause.trim_end_matches([' ', '{']))
}

/// Whether a line begins with the name of an exception: `java.io.IOException: disk full`.
fn is_exception(line: &str) -> bool {
    let name = line.trim().split(':').next().unwrap_or_default();
    let is_name = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '$');
    ["Exception", "Error"].iter().any(|end| name.ends_with(end)) && name.chars().all(is_name)
}

/// Rust's anyhow and eyre: the last cause below `Caused by:`.
fn anyhow<'a>(lines: &[&'a str]) -> Option<&'a str> {
    let header = lines.iter().rposition(|line| *line == "Caused by:")?;
    let causes = lines[header + 1..].iter().take_while(|line| line.starts_with(' '));
    let cause = causes.last()?.trim();
    let text = cause.trim_start_matches(|c: char| c.is_ascii_digit());
    Some(if text.len() < cause.len() { text.strip_prefix(": ").unwrap_or(cause) } else { cause })
}

/// Go: the last panic above the first goroutine.
fn go_panic<'a>(lines: &[&'a str]) -> Option<&'a str> {
    let stack = lines.iter().position(|line| line.starts_with("goroutine "))?;
    let is_panic =
        |line: &&str| ["panic: ", "fatal error: "].iter().any(|start| line.starts_with(start));
    let line = lines[..stack].iter().map(|line| line.trim()).rfind(is_panic)?;
    Some(line.strip_suffix(" [recovered]").unwrap_or(line))
}

/// Rust: the message below the place of the panic, or between quotes as older versions print it.
fn rust_panic<'a>(lines: &[&'a str]) -> Option<&'a str> {
    let (at, line) = lines.iter().enumerate().find(|(_, line)| line.contains("panicked at "))?;
    if line.ends_with(':') {
        return lines[at + 1..].iter().map(|line| line.trim()).find(|line| !line.is_empty());
    }
    let (_, quoted) = line.split_once("panicked at '")?;
    quoted.rsplit_once("', ").map(|(message, _)| message)
}

/// C++: the text of the exception that ended the program.
fn terminate<'a>(lines: &[&'a str]) -> Option<&'a str> {
    lines.iter().find_map(|line| line.trim_start().strip_prefix("what():")).map(str::trim)
}

/// Ruby: the message after the place, `report.rb:12:in 'build': no rows (RuntimeError)`.
fn ruby(line: &str) -> Option<&str> {
    let (place, rest) = line.split_once(":in ")?;
    let (_, number) = place.rsplit_once(':')?;
    let is_number = !number.is_empty() && number.bytes().all(|byte| byte.is_ascii_digit());
    let rest = rest.strip_prefix(['`', '\''])?;
    let (_, message) = rest.split_once("': ")?;
    is_number.then_some(message.trim())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_line_that_says_what_happened_is_found_in_every_kind_of_trace() {
        let table = [
            ("", ""),
            ("\n \n", ""),
            ("connection refused", "connection refused"),
            ("\n  disk full\nwhile writing", "disk full"),
            (
                "the server answered 404 Not Found: <!doctype html>\n<p>",
                "the server answered 404 Not Found: <!doctype html>",
            ),
            // Python
            (
                "Traceback (most recent call last):\n  File \"a.py\", line 3, in <module>\n    main()\n    ~~~~^^\n  File \"a.py\", line 1, in main\n    raise ValueError(\"bad\")\nValueError: bad",
                "ValueError: bad",
            ),
            (
                "Traceback (most recent call last):\r\n  File \"a.py\", line 1, in f\r\nKeyError: 'x'\r\n",
                "KeyError: 'x'",
            ),
            (
                "Traceback (most recent call last):\n  File \"a.py\", line 1\nrequests.Timeout: first line\nsecond line\n",
                "requests.Timeout: first line",
            ),
            (
                "Traceback (most recent call last):\n  File \"a.py\", line 1, in f\nKeyError: 'x'\n\nDuring handling of the above exception, another exception occurred:\n\nTraceback (most recent call last):\n  File \"b.py\", line 2, in g\nRuntimeError: no row\n",
                "RuntimeError: no row",
            ),
            (
                "task 7 failed: Traceback (most recent call last):\n  File \"a.py\", line 1\n\nOSError: gone",
                "OSError: gone",
            ),
            (
                "    Traceback (most recent call last):\n      File \"a.py\", line 1\n    OSError: gone",
                "OSError: gone",
            ),
            (
                "  File \"a.py\", line 1\n    f(\n     ^\nSyntaxError: '(' was never closed",
                "SyntaxError: '(' was never closed",
            ),
            (
                "  + Exception Group Traceback (most recent call last):\n  |   File \"a.py\", line 1, in <module>\n  |     raise ExceptionGroup(\"many\", [])\n  | ExceptionGroup: many (2 sub-exceptions)\n  +-+---------------- 1 ----------------\n    | ValueError: one",
                "ExceptionGroup: many (2 sub-exceptions)",
            ),
            (
                "Traceback (most recent call last):\n  File \"a.py\", line 1, in f",
                "Traceback (most recent call last):",
            ),
            // Java and Kotlin
            (
                "java.lang.IllegalStateException: closed\n\tat a.B.c(B.java:7)\n\tat a.B.main(B.java:3)",
                "java.lang.IllegalStateException: closed",
            ),
            (
                "Exception in thread \"main\" java.lang.IllegalStateException: closed\n\tat a.B.c(B.java:7)",
                "java.lang.IllegalStateException: closed",
            ),
            (
                "a.JobFailed: cannot send\n\tat a.B.c(B.java:7)\nCaused by: a.MailError: no route\n\tat a.M.s(M.java:1)\n\t... 3 more\nCaused by: java.net.ConnectException: Connection refused\n\tat a.N.o(N.java:2)\n\t... 9 more",
                "java.net.ConnectException: Connection refused",
            ),
            (
                "a.E: outer\n\tat a.B.c(B.java:7)\n\tSuppressed: a.F: while closing\n\t\tat a.B.d(B.java:9)",
                "a.E: outer",
            ),
            (
                "08:00 ERROR Worker - could not process\njava.io.IOException: disk full\n\tat a.B.c(B.java:7)",
                "java.io.IOException: disk full",
            ),
            // .NET
            (
                "Unhandled exception. System.InvalidOperationException: no row\n   at A.B() in /a/B.cs:line 3",
                "System.InvalidOperationException: no row",
            ),
            (
                "System.Exception: outer\n ---> System.IO.IOException: inner\n   at A.B()\n   --- End of inner exception stack trace ---\n   at A.C()",
                "System.IO.IOException: inner",
            ),
            (
                "System.Exception: outer ---> System.IO.IOException: inner\n   at A.B()",
                "System.IO.IOException: inner",
            ),
            // JavaScript
            (
                "TypeError: x is not a function\n    at f (/a/x.js:1:2)\n    at node:internal/main:3:4",
                "TypeError: x is not a function",
            ),
            (
                "/a/x.js:3\n    throw new Error('boom');\n    ^\n\nError: boom\n    at Object.<anonymous> (/a/x.js:3:9)\n\nNode.js v20.1.0",
                "Error: boom",
            ),
            ("Error: first line\nsecond line\n    at f (/a/x.js:1:2)", "Error: first line"),
            (
                "Error: outer\n    at f (/a/x.js:1:2) {\n  [cause]: RangeError: inner\n      at g (/a/x.js:9:1)\n}",
                "RangeError: inner",
            ),
            ("Expected 3 lines, got 2\n    at check (/a/x.js:1:2)", "Expected 3 lines, got 2"),
            // Go
            (
                "panic: runtime error: index out of range [5] with length 3\n\ngoroutine 1 [running]:\nmain.main()\n\t/a/main.go:9 +0x1d\nexit status 2",
                "panic: runtime error: index out of range [5] with length 3",
            ),
            (
                "starting\npanic: first [recovered]\n\tpanic: second\n\ngoroutine 7 [running]:",
                "panic: second",
            ),
            (
                "fatal error: all goroutines are asleep - deadlock!\n\ngoroutine 1 [chan receive]:",
                "fatal error: all goroutines are asleep - deadlock!",
            ),
            // Ruby
            (
                "report.rb:12:in `build': no rows (RuntimeError)\n\tfrom report.rb:20:in `<main>'",
                "no rows (RuntimeError)",
            ),
            ("/a/report.rb:12:in 'Report#build': no rows (RuntimeError)", "no rows (RuntimeError)"),
            (
                "Traceback (most recent call last):\n\t1: from report.rb:20:in `<main>'\nreport.rb:12:in `build': no rows (RuntimeError)",
                "no rows (RuntimeError)",
            ),
            // Rust
            (
                "thread 'main' panicked at src/main.rs:2:5:\nindex out of bounds: the len is 3\nnote: run with `RUST_BACKTRACE=1`",
                "index out of bounds: the len is 3",
            ),
            ("thread 'main' (77) panicked at src/main.rs:2:5:\nboom", "boom"),
            ("thread 'main' panicked at 'it's gone', src/main.rs:2:5", "it's gone"),
            ("panicked at 'index 7 of 3'", "panicked at 'index 7 of 3'"),
            (
                "Error: cannot send\n\nCaused by:\n    0: cannot connect\n    1: connection refused (os error 111)\n\nStack backtrace:\n   0: a::b",
                "connection refused (os error 111)",
            ),
            ("Error: cannot send\n\nCaused by:\n    connection refused", "connection refused"),
            // C++
            (
                "terminate called after throwing an instance of 'std::runtime_error'\n  what():  boom\nAborted",
                "boom",
            ),
            // Words that only look like a trace
            ("look at line 3\n at main.rs:3", "look at line 3"),
            ("Caused by: a cat", "Caused by: a cat"),
            ("panic: no", "panic: no"),
            ("deploy:in progress", "deploy:in progress"),
        ];
        for (message, line) in table {
            assert_eq!(error_line(message), line, "{message:?}");
        }
    }

    #[test]
    fn the_line_is_a_part_of_the_message_whatever_it_is() {
        let odd = [
            "\u{feff}",
            "at ",
            "\tat (",
            " ---> ",
            "what():",
            "Caused by:",
            "Caused by:\n ",
            ":1:in `'",
            "^\n at x.y",
            "+ Exception Group Traceback (most recent call\n| ",
        ];
        for message in odd {
            assert!(message.contains(error_line(message)), "{message:?}");
        }
    }
}
