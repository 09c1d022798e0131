//! Decoding the frames of clients, byte by byte, and the close codes of invalid ones.

use super::*;

/// A masked frame, as a client sends it.
fn frame(first: u8, payload: &[u8]) -> Vec<u8> {
    let mask = [0x11, 0x22, 0x33, 0x44];
    let mut bytes = vec![first];
    match payload.len() {
        len @ 0..=125 => bytes.push(0x80 | len as u8),
        len => {
            bytes.push(0x80 | 126);
            bytes.extend((len as u16).to_be_bytes());
        }
    }
    bytes.extend(mask);
    bytes.extend(payload.iter().zip(mask.iter().cycle()).map(|(byte, mask)| byte ^ mask));
    bytes
}

fn take(bytes: &[u8]) -> (Vec<InboundMessage>, Option<CloseReason>) {
    MessageDecoder::default().decode(&mut bytes.to_vec(), 1_000)
}

fn text(text: &str) -> InboundMessage {
    InboundMessage::Text(text.to_owned())
}

#[test]
fn messages_are_the_same_however_their_bytes_arrive() {
    let stream = [
        frame(0x81, b"one"),
        frame(0x89, b"ping"),
        frame(0x01, b"t"),
        frame(0x8a, b""),
        frame(0x00, b"w"),
        frame(0x80, b"o"),
        frame(0x81, &[b'x'; 300]),
        frame(0x88, &[0x03, 0xe8, b'b', b'y', b'e']),
    ]
    .concat();
    let expected = || {
        let ping = InboundMessage::Ping(b"ping".to_vec());
        let close = InboundMessage::Close(Some(1000));
        let (first, second) = (InboundMessage::Fragment, InboundMessage::Fragment);
        let two = [first, InboundMessage::Pong, second, text("two")];
        [vec![text("one"), ping], two.into(), vec![text(&"x".repeat(300)), close]]
            .into_iter()
            .flatten()
            .collect::<Vec<_>>()
    };
    for size in [1, 2, 3, 7, 100, stream.len()] {
        let mut decoder = MessageDecoder::default();
        let mut messages = Vec::new();
        for piece in stream.chunks(size) {
            let (more, wrong) = decoder.decode(&mut piece.to_vec(), 1_000);
            assert_eq!(wrong, None);
            messages.extend(more);
        }
        assert_eq!(messages, expected(), "in pieces of {size}");
        assert!(decoder.is_empty(), "nothing is held back");
    }
}

#[test]
fn messages_before_an_invalid_frame_are_processed() {
    let bytes = [frame(0x81, b"good"), frame(0x82, b"binary")].concat();
    assert_eq!(take(&bytes), (vec![text("good")], Some(CloseReason::Binary)));
}

#[test]
fn each_fault_has_its_ending() {
    let unmasked = vec![0x81, 1, b'x'];
    let long_ping = frame(0x89, &[0; 126]);
    let split_ping = frame(0x09, b"");
    let reserved_bit = frame(0xc1, b"x");
    let reserved_opcode = frame(0x83, b"x");
    let lone_continuation = frame(0x80, b"x");
    let text_in_text = [frame(0x01, b"x"), frame(0x81, b"y")].concat();
    let short_close = frame(0x88, &[3]);
    let forbidden_code = frame(0x88, &1005_u16.to_be_bytes());
    let long_length = vec![0x81, 0x80 | 126, 0, 1, 0, 0, 0, 0, b'x'];
    let longer_length = vec![0x81, 0x80 | 127, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0, b'x'];
    let negative_length = vec![0x81, 0x80 | 127, 0x80, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0, b'x'];
    let binary_in_text = [frame(0x01, b"x"), frame(0x82, b"y")].concat();
    for bytes in [
        unmasked,
        long_ping,
        split_ping,
        reserved_bit,
        reserved_opcode,
        lone_continuation,
        text_in_text,
        short_close,
        forbidden_code,
        long_length,
        longer_length,
        negative_length,
        binary_in_text,
    ] {
        assert_eq!(take(&bytes).1, Some(CloseReason::BadProtocol), "{bytes:x?}");
    }
    assert_eq!(take(&frame(0x81, &[0xff])).1, Some(CloseReason::BadText));
    assert_eq!(take(&frame(0x88, &[0x03, 0xe8, 0xff])).1, Some(CloseReason::BadText));
    // A character may be split between fragments, but must be complete at the end.
    let euro = "€".as_bytes();
    let cut = [frame(0x01, &euro[..1]), frame(0x80, &euro[1..])].concat();
    assert_eq!(take(&cut), (vec![InboundMessage::Fragment, text("€")], None));
    assert_eq!(take(&frame(0x81, &euro[..1])).1, Some(CloseReason::BadText));
}

#[test]
fn a_message_too_long_is_refused_at_its_header() {
    // Headers are enough: the payload need not have arrived.
    assert_eq!(take(&frame(0x81, &[b'x'; 1_001])[..8]).1, Some(CloseReason::TooBig));
    let huge = [0x81, 0x80 | 127, 0x7f, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0, 0, 0, 0];
    assert_eq!(take(&huge).1, Some(CloseReason::TooBig));
    let pieces = [frame(0x01, &[b'x'; 600]), frame(0x00, &[b'x'; 401])].concat();
    assert_eq!(take(&pieces).1, Some(CloseReason::TooBig));
    assert_eq!(take(&frame(0x81, &[b'x'; 1_000])).0.len(), 1);
}

#[test]
fn invalid_text_is_refused_at_its_first_invalid_byte() {
    // What comes before the last byte may still become valid text.
    for bytes in [
        &b"\xff"[..],
        b"ok\xc0",
        b"ok\xc3\x28",
        b"\xe2\x82\x28",
        b"\xed\xa0",
        b"\xe0\x80",
        b"\xf4\x90",
        b"\xf0\x80",
        b"\xf5",
    ] {
        let whole = frame(0x81, &[bytes, b" and the rest"].concat());
        let header = whole.len() - bytes.len() - b" and the rest".len();
        let mut decoder = MessageDecoder::default();
        let mut sent = whole.clone();
        let (before, after) = sent.split_at_mut(header + bytes.len() - 1);
        assert_eq!(decoder.decode(before, 1_000), (vec![], None), "{bytes:x?}");
        let (_, reason) = decoder.decode(&mut after[..1], 1_000);
        assert_eq!(reason, Some(CloseReason::BadText), "{bytes:x?}");
    }
}
