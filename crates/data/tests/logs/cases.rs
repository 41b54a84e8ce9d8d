//! Small logs, each with one thing that is particular.

use super::{Log, log};

const HEAD: &str = "user,item,rating,timestamp\n";

fn plain(what: &'static str, rows: &str, expected: &'static str) -> Log {
    log(what, "log.csv", &format!("{HEAD}{rows}"), "", expected)
}

fn timed(what: &'static str, time: &str, options: &'static str, expected: &'static str) -> Log {
    log(what, "log.csv", &format!("user,item,time\n1,2,{time}\n"), options, expected)
}

/// All of them.
pub(crate) fn logs() -> Vec<Log> {
    [
        dialects(),
        headers(),
        encodings(),
        values(),
        times(),
        same_rows(),
        columns(),
        choices_and_refusals(),
        json(),
        json_by_line(),
    ]
    .concat()
}

impl Clone for Log {
    fn clone(&self) -> Self {
        Self { bytes: self.bytes.clone(), ..*self }
    }
}

fn dialects() -> Vec<Log> {
    vec![
        plain("plain", "1,2,3,978300760\n", "1 2 3 978300760"),
        plain("no last line end", "1,2,3,978300760", "1 2 3 978300760"),
        plain(
            "carriage returns",
            "1,2,3,978300760\r\n2,2,3,978300760\r\n",
            "1 2 3 978300760; 2 2 3 978300760",
        ),
        plain("blank lines", "\n1,2,3,978300760\n\n  \n", "1 2 3 978300760"),
        plain("quoted", "\"1\",\"a, b\",3,978300760\n", "1 a, b 3 978300760"),
        plain("a doubled quote", "1,\"5\"\" disk\",3,978300760\n", "1 5\" disk 3 978300760"),
        plain("a quote within a field", "1,5\" disk,3,978300760\n", "1 5\" disk 3 978300760"),
        plain(
            "a field over two lines (RFC 4180)",
            "1,\"two\nlines\",3,978300760\n2,x,3,978300760\n",
            "1 two\nlines 3 978300760; 2 x 3 978300760",
        ),
        plain(
            "a field over lines that look like rows",
            "1,\"x\n9,9,9,978300760\ny\",3,978300760\n",
            "1 x\n9,9,9,978300760\ny 3 978300760",
        ),
        log(
            "the same where bad rows may be skipped",
            "log.csv",
            &format!("{HEAD}1,\"x\n9,9,9,978300760\ny\",3,978300760\n2,2,bad,978300760\n"),
            "skip=5",
            "1 x\n9,9,9,978300760\ny 3 978300760",
        ),
        log(
            "an open quote is never skipped",
            "log.csv",
            &format!("{HEAD}1,\"a, b\",3,978300760\n1,\"x,9,978300760\n2,\"y, z\",9,978300760\n"),
            "skip=5",
            "error: log.csv:3: a quote that may swallow rows",
        ),
        plain("blanks before a quote", "1, \"a, b\" ,3,978300760\n", "1 a, b 3 978300760"),
        plain("blanks around fields", " 1 , 2 , 3 , 978300760 \n", "1 2 3 978300760"),
        log(
            "a backslash before a quote",
            "log.csv",
            &format!("{HEAD}1,\"say \\\"hi\\\", you\",3,978300760\n"),
            "",
            "1 say \"hi\", you 3 978300760",
        ),
        log(
            "a backslash by name",
            "log.csv",
            &format!("{HEAD}1,\"a\\\"b\",3,978300760\n"),
            "quote=backslash",
            "1 a\"b 3 978300760",
        ),
        log(
            "tabs and a field that begins with a quote",
            "log.tsv",
            "user\titem\trating\n1\t\"Weird Al\" Yankovic\t3\n",
            "",
            "1 \"Weird Al\" Yankovic 3 -",
        ),
        log(
            "the same by name",
            "log.tsv",
            "user\titem\trating\n1\tAbba\t3\n2\t\"Heroes\"\t4\n",
            "quote=none",
            "1 Abba 3 -; 2 \"Heroes\" 4 -",
        ),
        log("semicolons", "log.csv", "user;item;rating\n1;a,b;3\n", "", "1 a,b 3 -"),
        log("bars", "log.csv", "user|item|rating\n1|a,b|3\n", "", "1 a,b 3 -"),
        log("colons", "log.txt", "1::2::3\n4::5::2\n", "user=1 item=2 value=3", "1 2 3 -; 4 5 2 -"),
        log("blanks", "log.txt", "1 2 3\n4 5 2\n", "user=1 item=2 value=3", "1 2 3 -; 4 5 2 -"),
        log("runs of blanks", "log.txt", " 1  2   3 \n4 5 2\n", "user=1 item=2 value=3", "1 2 3 -; 4 5 2 -"),
        log("a delimiter by name", "log.txt", "user~item\n1~2\n", "delimiter=~", "1 2 - -"),
        log("lists with bars", "log.csv", "user,item,genres\n1,2,a|b\n2,3,a|b|c\n", "", "1 2 - -; 2 3 - -"),
        log("a CSV of tabs", "log.csv", "user\titem\n1\ta,b\n", "", "1 a,b - -"),
        plain("too few fields", "1,2,3\n", "error: log.csv:2: too few fields"),
        plain("a decimal comma", "1,2,3,5,978300760\n", "error: log.csv:2: too many fields"),
    ]
}

fn headers() -> Vec<Log> {
    let rows = "1,2,3,978300760\n4,5,2,978300761\n";
    vec![
        log(
            "columns by number",
            "log.csv",
            rows,
            "user=1 item=2 value=3 time=4",
            "1 2 3 978300760; 4 5 2 978300761",
        ),
        log(
            "columns by number in another order",
            "log.csv",
            "978300760,2,1\n",
            "user=3 item=2 time=1",
            "1 2 - 978300760",
        ),
        log(
            "names",
            "log.csv",
            rows,
            "columns=user,item,rating,timestamp",
            "1 2 3 978300760; 4 5 2 978300761",
        ),
        log("no header by word", "log.csv", "alice,alien\n", "no-header user=1 item=2", "alice alien - -"),
        log(
            "columns by number below a header",
            "log.csv",
            "who,what,user\n1,2,x\n",
            "user=1 item=2",
            "1 2 - -",
        ),
        log(
            "a number that is a name",
            "log.csv",
            "1,2\nu,i\n",
            "user=2 item=1",
            "error: may begin with a header",
        ),
        log("no header and no numbers", "log.csv", rows, "", "error: columns go by number"),
        log(
            "a first row's values as names",
            "log.csv",
            "ann,x,978300760\nbob,y,978300761\n",
            "user=ann item=x time=978300760",
            "error: begins with what looks like a row",
        ),
        log(
            "a header or a row",
            "log.csv",
            "alice,alien\nbob,matrix\n",
            "user=1 item=2",
            "error: set ReadOptions::no_header",
        ),
        log("a quoted header with commas", "log.csv", "\"user\",\"item\",\"a, b\"\n1,2,3\n", "", "1 2 - -"),
        log("a byte order mark", "log.csv", "\u{feff}user,item\n1,2\n", "", "1 2 - -"),
        log("names in capitals and with dashes", "log.csv", "User-ID,Item_Id\n1,2\n", "", "1 2 - -"),
        log(
            "one column in two roles",
            "log.csv",
            "user,item\n1,2\n",
            "user=user item=user",
            "error: two things at once",
        ),
        log(
            "a session as the user, beside a user column",
            "log.csv",
            "user_id,session_id,item\n7,s1,2\n",
            "user=session_id",
            "s1 2 - -",
        ),
        log("sessions alone", "log.csv", "session_id,item\ns1,2\n", "", "s1 2 - -"),
        log(
            "a name as users need not be known as time",
            "log.csv",
            "date,item\n1,2\n",
            "user=date",
            "1 2 - -",
        ),
        log("a header alone", "log.csv", "user,item\n", "", "error: holds no interactions"),
    ]
}

fn encodings() -> Vec<Log> {
    let bytes =
        |what, bytes: Vec<u8>, options, expected| Log { what, file: "log.csv", bytes, options, expected };
    let utf16 = |marked: bool, order: fn(u16) -> [u8; 2]| {
        let mark = marked.then_some(0xfeff);
        mark.into_iter().chain("user,item\né,ß\n".encode_utf16()).flat_map(order).collect::<Vec<u8>>()
    };
    vec![
        bytes("UTF-8", "user,item\né,ß\n".into(), "", "é ß - -"),
        bytes("Latin-1", b"user,item\n\xe9,\xdf\n".to_vec(), "encoding=latin1", "é ß - -"),
        bytes(
            "Latin-1 without a word",
            b"user,item\n\xe9,\xdf\n".to_vec(),
            "",
            "error: set ReadOptions::encoding",
        ),
        bytes("Windows-1252", b"user,item\n\x80,\x93\n".to_vec(), "encoding=windows-1252", "€ “ - -"),
        bytes("UTF-16 with a mark", utf16(true, u16::to_le_bytes), "", "é ß - -"),
        bytes("UTF-16, the other way round", utf16(true, u16::to_be_bytes), "", "é ß - -"),
        bytes("UTF-16 without a mark", utf16(false, u16::to_le_bytes), "encoding=utf-16le", "é ß - -"),
        bytes("NUL bytes", b"user,item\n1\0,2\n".to_vec(), "", "error: NUL byte"),
    ]
}

fn values() -> Vec<Log> {
    let missing = |what, text: &str| {
        let rows = format!("user,item,rating\n1,2,{text}\n1,3,4\n");
        log(what, "log.csv", &rows, "", "1 2 - -; 1 3 4 -")
    };
    vec![
        missing("empty", ""),
        missing("NA", "NA"),
        missing("NaN", "NaN"),
        missing("NULL", "NULL"),
        missing("null", "null"),
        missing("backslash N", "\\N"),
        missing("quoted NA", "\"NA\""),
        log("a missing user", "log.csv", "user,item\nNA,2\n", "", "error: log.csv:2: empty id"),
        log("a missing item", "log.csv", "user,item\n1,\\N\n", "", "error: log.csv:2: empty id"),
        log("a missing time", "log.csv", "user,item,time\n1,2,NULL\n", "", "error: log.csv:2: time stamp"),
        log(
            "a missing event type",
            "log.csv",
            "user,item,event\n1,2,NULL\n1,3,buy\n",
            "",
            "1 2 - -/-; 1 3 - -/buy",
        ),
        log("a name that begins like one", "log.csv", "user,item\nNAta,nullable\n", "", "NAta nullable - -"),
        log("truth values", "log.csv", "user,item,rating\n1,2,true\n1,3,False\n", "", "1 2 1 -; 1 3 0 -"),
        log(
            "words as values",
            "log.csv",
            "user,item,rating\n1,2,good\n",
            "",
            "error: rating is not a finite number",
        ),
        log(
            "negative and scientific values",
            "log.csv",
            "user,item,rating\n1,2,-8.5\n1,3,1e2\n",
            "",
            "1 2 -8.5 -; 1 3 100 -",
        ),
        log("infinite", "log.csv", "user,item,rating\n1,2,inf\n", "", "error: rating is not a finite number"),
    ]
}

fn times() -> Vec<Log> {
    let clicks = "user,item,time\n1,2,1402129218250\n1,2,1402129219050\n1,3,1402129218249\n";
    vec![
        timed("seconds", "1402129218", "", "1 2 - 1402129218"),
        timed("fractions", "1402129218.25", "", "1 2 - 1402129218.25"),
        log(
            "milliseconds that keep their order and stay distinct",
            "log.csv",
            clicks,
            "unit=ms",
            "1 3 - 1402129218.249; 1 2 - 1402129218.25; 1 2 - 1402129219.05",
        ),
        timed(
            "milliseconds without a word",
            "1402129218250",
            "",
            "error: time stamps of 13 digits are in milliseconds",
        ),
        timed("microseconds", "1402129218250001", "unit=us", "1 2 - 1402129218.250001"),
        timed("nanoseconds", "1402129218250000001", "unit=ns", "1 2 - 1402129218.250000001"),
        timed("scientific", "1.402129218E9", "", "1 2 - 1402129218"),
        timed("ISO 8601", "2014-06-07T08:20:18", "", "1 2 - 1402129218"),
        timed("ISO 8601, UTC", "2014-06-07T08:20:18.25Z", "", "1 2 - 1402129218.25"),
        timed("an offset", "2014-06-07T10:20:18+02:00", "", "1 2 - 1402129218"),
        timed("UTC in words", "2014-06-07 08:20:18 UTC", "", "1 2 - 1402129218"),
        timed("no seconds", "2014-06-07 08:20", "", "1 2 - 1402129200"),
        timed("a date", "2014-06-07", "", "1 2 - 1402099200"),
        timed("slashes", "2014/06/07", "", "1 2 - 1402099200"),
        timed("dots", "07.06.2014", "", "1 2 - 1402099200"),
        timed("month first", "6/7/2014 8:20:18 AM", "dates=mdy", "1 2 - 1402129218"),
        timed("day first", "7/6/2014 8:20:18", "dates=dmy", "1 2 - 1402129218"),
        timed("either first", "6/7/2014", "", "error: set ReadOptions::date_order"),
        timed("afternoon", "2014-06-07 08:20:18 PM", "", "1 2 - 1402172418"),
        timed("words", "Sat Jun 07 08:20:18 +0000 2014", "", "1 2 - 1402129218"),
        timed("a date as a number", "20140607", "", "1 2 - 1402099200"),
        timed("a year", "2014", "", "1 2 - 1388534400"),
        timed("a counter", "17", "", "1 2 - 17"),
        timed("no date", "2014-02-30", "", "error: time stamp not understood"),
        timed("before 1970", "-5", "", "error: time stamp before 1970"),
    ]
}

fn same_rows() -> Vec<Log> {
    vec![
        log(
            "a view and a purchase in one second",
            "log.csv",
            "user,item,event,time\n1,2,view,978300760\n1,2,purchase,978300760\n",
            "",
            "1 2 - 978300760/view; 1 2 - 978300760/purchase",
        ),
        log(
            "the same event twice",
            "log.csv",
            "user,item,event,time\n1,2,view,978300760\n1,2,view,978300760\n",
            "",
            "1 2 - 978300760/view",
        ),
        plain("the last value counts", "1,2,3,978300760\n1,2,4,978300760\n", "1 2 4 978300760"),
        plain("another second", "1,2,3,978300760\n1,2,4,978300761\n", "1 2 3 978300760; 1 2 4 978300761"),
        log("without times", "log.csv", "user,item,rating\n1,2,3\n1,2,4\n", "", "1 2 4 -"),
    ]
}

fn columns() -> Vec<Log> {
    vec![
        log("nothing", "log.csv", "", "", "error: is empty"),
        log("a text file", "log.txt", "user,item\n1,2\n", "", "1 2 - -"),
        log("a table of tabs", "log.tab", "user\titem\n1\t2\n", "", "1 2 - -"),
        log(
            "Orange's three lines of header",
            "log.tab",
            "user\titem\trating\nd\ts\tcontinuous\n\t\tclass\n1\t2\t3\n",
            "",
            "1 2 3 -",
        ),
        log("a format by name", "log.dump", "user,item\n1,2\n", "format=csv", "1 2 - -"),
        log(
            "ids with commas and leading zeros",
            "log.csv",
            "user,item\n007,\"a,b\"\n7,c\n",
            "",
            "7 c - -; 007 a,b - -",
        ),
    ]
}

fn choices_and_refusals() -> Vec<Log> {
    vec![
        log(
            "rows of some events",
            "log.csv",
            "user,item,event\n1,2,view\n1,3,Buy\n2,2,\n3,4,buy\n",
            "events=buy",
            "1 3 - -/Buy; 3 4 - -/buy",
        ),
        log(
            "events that no row has",
            "log.csv",
            "user,item,event\n1,2,view\n",
            "events=buy",
            "error: no row has the event type \"buy\"; the log has view",
        ),
        log(
            "events of a log without event types",
            "log.csv",
            "user,item\n1,2\n",
            "events=buy",
            "error: no event types",
        ),
        log(
            "rows from a value on",
            "log.csv",
            "user,item,rating\n1,2,3\n1,3,4\n2,3,\n2,4,5\n",
            "min-value=4",
            "1 3 4 -; 2 4 5 -",
        ),
        log(
            "impressions of MIND without labels",
            "behaviors.tsv",
            "1\tU1\t11/15/2019 8:55:22 AM\t\tN1 N2\n",
            "",
            "error: behaviors.tsv:1: rating is not a finite number",
        ),
        log(
            "dates as numbers beside Unix seconds",
            "log.csv",
            "user,item,time\n1,2,20140304\n1,3,1400000000\n",
            "",
            "error: 20140304 stands among Unix seconds",
        ),
        log(
            "UTF-16 without a mark",
            "log.csv",
            "u\0s\0e\0r\0,\0i\0t\0e\0m\0\n\0",
            "",
            "error: seems to be UTF-16",
        ),
        log("carriage returns alone", "log.csv", "user,item\r1,2\r", "", "error: carriage return alone"),
        log(
            "an encoding beside another's mark",
            "log.csv",
            "\u{feff}user,item\n1,2\n",
            "encoding=latin1",
            "error: the mark of UTF-8",
        ),
        log("all rows bad", "log.csv", "user,item\n,2\n,3\n", "skip=5", "error: all 2 are bad (2: empty id)"),
        log(
            "a quote for JSON",
            "log.jsonl",
            "{\"user\":1,\"item\":2}\n",
            "quote=none",
            "error: says nothing of this",
        ),
    ]
}

fn json() -> Vec<Log> {
    vec![
        log(
            "JSON Lines",
            "log.jsonl",
            "{\"user_id\": 1, \"item\": \"a\", \"rating\": 4.5, \"timestamp\": \
             1402129218250}\n\n{\"user_id\": \"2\", \
             \"item\": \"b\", \"rating\": null, \"timestamp\": 1402129219000}\n",
            "unit=ms",
            "1 a 4.5 1402129218.25; 2 b - 1402129219",
        ),
        log(
            "JSON with lists and objects",
            "log.json",
            "{\"user\": 1, \"item\": 2, \"images\": [{\"url\": \"x\"}], \"more\": {\"a\": 1}}\n",
            "",
            "1 2 - -",
        ),
        log(
            "a field that a line lacks",
            "log.ndjson",
            "{\"user\": 1, \"item\": 2, \"rating\": 3}\n{\"user\": 1, \"item\": 3}\n",
            "",
            "1 2 3 -; 1 3 - -",
        ),
        log(
            "a line that is no object",
            "log.jsonl",
            "{\"user\": 1, \"item\": 2}\n[1]\n",
            "",
            "error: log.jsonl:2: line is no JSON",
        ),
        log(
            "fields that a later line is the first to have",
            "log.jsonl",
            "{\"user\":\"a\",\"item\":\"x\"}\n{\"user\":\"a\",\"item\":\"x\",\"ts\":1400000001,\"rating\":5,\
             \"event_type\":\"buy\"}\n",
            "",
            "error: log.jsonl:1: time stamp not understood",
        ),
        log(
            "ratings and events that a later line is the first to have",
            "log.jsonl",
            "{\"user\":\"a\",\"item\":\"x\",\"ts\":1400000001}\n\
             {\"user\":\"a\",\"item\":\"x\",\"ts\":1400000001,\
             \"rating\":5,\"event_type\":\"buy\"}\n",
            "",
            "a x - 1400000001/-; a x 5 1400000001/buy",
        ),
    ]
}

fn json_by_line() -> Vec<Log> {
    vec![
        log(
            "fields by number, in the order of lines",
            "log.jsonl",
            "{\"who\":\"b\",\"what\":\"x\",\"event\":\"view\"}\n\
            {\"who\":\"a\",\"what\":\"y\",\"event\":\"buy\"}\n",
            "user=1 item=2",
            "a y - -/buy; b x - -/view",
        ),
        log(
            "fields of objects within",
            "log.jsonl",
            "{\"user\":{\"id\":\"a\"},\"item\":1}\n{\"user\":{\"id\":\"b\"},\"item\":2}\n",
            "user=user.id",
            "a 1 - -; b 2 - -",
        ),
        log(
            "sessions with no events, and an event of its own",
            "log.jsonl",
            "{\"session\":1,\"events\":[{\"aid\":5,\"ts\":1400000000}]}\n{\"session\":2,\"events\":null}\n\
             {\"session\":5,\"events\":[{\"aid\":6,\"ts\":1400000002}]}\n\
             {\"session\":3,\"events\":[]}\n{\"session\":4,\"aid\":7,\"ts\":1400000001}\n",
            "",
            "1 5 - 1400000000; 4 7 - 1400000001; 5 6 - 1400000002",
        ),
        log(
            "events that list further items",
            "log.jsonl",
            "{\"user\":\"a\",\"asin\":\"x\",\"related\":[{\"asin\":\"y\"},{\"asin\":\"z\"}]}\n",
            "",
            "a x - -",
        ),
        log(
            "the list that holds items, of two",
            "log.jsonl",
            "{\"user\":\"a\",\"tags\":[{\"name\":\"t\"}],\"events\":[{\"item\":\"x\"}]}\n",
            "",
            "a x - -",
        ),
        log(
            "an id too large for a number",
            "log.jsonl",
            "{\"user\":12345678901234567890123,\"item\":1}\n",
            "",
            "error: ids as texts",
        ),
        log(
            "a list as an id",
            "log.jsonl",
            "{\"user\":1,\"item\":2}\n{\"user\":1,\"item\":[1,2]}\n",
            "",
            "error: log.jsonl:2: a list where a single value is needed",
        ),
        log(
            "a missing id",
            "log.jsonl",
            "{\"user\": 1, \"item\": 2}\n{\"user\": 1}\n",
            "",
            "error: log.jsonl:2: empty id",
        ),
    ]
}
