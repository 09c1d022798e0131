//! Links that keep the moment of a page. Templates write links to pages without it; [`keep_moment`] adds it to those that
//! lead to a page which can show the moment, and to the forms that search such pages.

use crate::job::JobId;

/// The attribute of links and forms that choose a moment of their own: that of the bar, and links to the present.
const OWN_MOMENT: &str = " data-own-moment";

/// An address, relative to the base, with this moment instead of the one that it has. `at` has only characters that need
/// no escape in a query.
pub fn with_moment(address: &str, at: &str) -> String {
    let (rest, fragment) = match address.split_once('#') {
        Some((rest, fragment)) => (rest, format!("#{fragment}")),
        None => (address, String::new()),
    };
    let (path, query) = rest.split_once('?').unwrap_or((rest, ""));
    let others = without_moment(query);
    let separator = if others.is_empty() { "" } else { "&" };
    format!("{path}?{others}{separator}at={at}{fragment}")
}

/// A query string without the moment.
pub fn without_moment(query: &str) -> String {
    let others = query.split('&').filter(|pair| !pair.is_empty() && !is_moment(pair));
    others.collect::<Vec<_>>().join("&")
}

fn is_moment(pair: &str) -> bool {
    let mut decoded = url::form_urlencoded::parse(pair.as_bytes());
    decoded.next().is_some_and(|(name, _)| name == "at")
}

/// Adds the moment to the links and the search forms of a page that lead to pages which can show it. A template escapes
/// every `<`, `>` and quotation mark of its values, so the tags are those of the template.
pub fn keep_moment(html: &str, at: &str) -> String {
    let mut kept = String::with_capacity(html.len() + html.len() / 8);
    let mut rest = html;
    while let Some(start) = rest.find('<') {
        let (before, tag_on) = rest.split_at(start);
        let (tag, after) = tag_on.split_at(tag_on.find('>').map_or(tag_on.len(), |end| end + 1));
        kept.push_str(before);
        if tag.starts_with("<a ") && !tag.contains(OWN_MOMENT) {
            kept.push_str(&link(tag, at));
        } else {
            kept.push_str(tag);
            if is_search(tag) {
                kept.push_str(&format!("<input type=\"hidden\" name=\"at\" value=\"{at}\">"));
            }
        }
        rest = after;
    }
    kept.push_str(rest);
    kept
}

/// The tag of a link with the moment, if it leads to a page that can show it.
fn link(tag: &str, at: &str) -> String {
    let Some((before, address, after)) = attribute(tag, "href") else { return tag.to_owned() };
    let plain = address.replace("&#38;", "&").replace("&amp;", "&");
    if !shows_moments(&plain) {
        return tag.to_owned();
    }
    format!("{before}{}{after}", with_moment(&plain, at).replace('&', "&#38;"))
}

fn is_search(tag: &str) -> bool {
    let is_form = tag.starts_with("<form ") && !tag.contains(OWN_MOMENT);
    let is_post = attribute(tag, "method").is_some_and(|(_, method, _)| method == "post");
    is_form
        && !is_post
        && attribute(tag, "action").is_some_and(|(_, action, _)| shows_moments(action))
}

/// The value of an attribute, with the parts of the tag before and after it.
fn attribute<'a>(tag: &'a str, name: &str) -> Option<(&'a str, &'a str, &'a str)> {
    let begin = format!(" {name}=\"");
    let start = tag.find(&begin)? + begin.len();
    let (before, rest) = (tag.get(..start)?, tag.get(start..)?);
    let end = rest.find('"')?;
    Some((before, rest.get(..end)?, rest.get(end..)?))
}

/// Whether an address that is relative to the base leads to a page that can show an earlier moment.
pub fn shows_moments(address: &str) -> bool {
    let path = address.split(['?', '#']).next().unwrap_or_default();
    match path.trim_end_matches('/').split('/').collect::<Vec<_>>().as_slice() {
        ["."] | ["jobs" | "queues"] => true,
        ["jobs", id] => id.parse::<JobId>().is_ok(),
        ["queues", name] => !name.is_empty(),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ID: &str = "01940000-0000-7000-8000-000000000000";

    #[test]
    fn an_address_has_one_moment() {
        for (address, expected) in [
            ("jobs", "jobs?at=x:1"),
            ("./", "./?at=x:1"),
            ("jobs?state=running&at=y:2&queue=a", "jobs?state=running&queue=a&at=x:1"),
            ("jobs?at=y%3A2", "jobs?at=x:1"),
            ("jobs?format=at=1#main", "jobs?format=at=1&at=x:1#main"),
        ] {
            assert_eq!(with_moment(address, "x:1"), expected);
        }
        assert_eq!(without_moment("a=1&at=2&at&b=3&"), "a=1&b=3");
    }

    #[test]
    fn links_to_pages_of_a_moment_keep_it_and_others_do_not() {
        for (address, kept) in [
            ("./", "./?at=x:1"),
            ("jobs", "jobs?at=x:1"),
            ("jobs?queue=a&#38;state=running", "jobs?queue=a&#38;state=running&#38;at=x:1"),
            ("queues", "queues?at=x:1"),
            ("queues/two%20words", "queues/two%20words?at=x:1"),
        ] {
            let html = format!("<p>a <b</p><a class=\"x\" href=\"{address}\" data-key=\"g\">b</a>");
            let expected = html.replace(address, kept);
            assert_eq!(keep_moment(&html, "x:1"), expected);
        }
        let job = format!("<a href=\"jobs/{ID}?raw=1#log-title\">");
        assert_eq!(
            keep_moment(&job, "x:1"),
            format!("<a href=\"jobs/{ID}?raw=1&#38;at=x:1#log-title\">")
        );
        for html in [
            "<a href=\"timeline\">",
            "<a href=\"jobs/new\">",
            "<a href=\"jobs/bulk\">",
            "<a href=\"/jobs#main\">",
            "<a href=\"queues/a/b\">",
            "<a name=\"jobs\">",
            "<a href=\"jobs\" data-own-moment>",
            "<abbr href=\"jobs\">",
            "<link href=\"jobs\">",
            "&lt;a href=\"jobs\"&gt;",
        ] {
            assert_eq!(keep_moment(html, "x:1"), html);
        }
    }

    #[test]
    fn search_forms_keep_the_moment_and_forms_that_change_something_do_not() {
        let hidden = "<input type=\"hidden\" name=\"at\" value=\"x:1\">";
        for form in
            ["<form action=\"jobs\">", "<form class=\"f\" method=\"get\" action=\"queues\">"]
        {
            assert_eq!(keep_moment(form, "x:1"), format!("{form}{hidden}"));
        }
        for form in [
            "<form method=\"post\" action=\"jobs\">",
            "<form action=\"find\">",
            "<form action=\"jobs\" data-own-moment>",
        ] {
            assert_eq!(keep_moment(form, "x:1"), form);
        }
    }
}
