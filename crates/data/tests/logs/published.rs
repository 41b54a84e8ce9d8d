//! Public data sets' layouts, on made-up rows. `docs/guide/your-own-log.md` has the same options as commands.

use super::{Log, log};

/// A layout each.
pub(crate) fn logs() -> Vec<Log> {
    [reviews(), media(), shops(), places_and_opinions(), feeds_and_tools()].into_iter().flatten().collect()
}

/// A log whose text is Latin-1.
fn latin(
    what: &'static str,
    file: &'static str,
    bytes: &[u8],
    options: &'static str,
    expected: &'static str,
) -> Log {
    Log { what, file, bytes: bytes.to_vec(), options, expected }
}

fn reviews() -> Vec<Log> {
    vec![
        log(
            "Amazon reviews 2014",
            "ratings_Books.csv",
            "AH2L9G3DQHHAJ,0000000116,4.0,1019865600\nA2IIIDRK3PRRZY,0000000116,1.0,1395619200\n",
            "user=1 item=2 value=3 time=4",
            "A2IIIDRK3PRRZY 0000000116 1 1395619200; AH2L9G3DQHHAJ 0000000116 4 1019865600",
        ),
        log(
            "Amazon reviews 2014, JSON Lines",
            "reviews_Books_5.json",
            "{\"reviewerID\": \"A10\", \"asin\": \"000100039X\", \"reviewerName\": \"Adam\", \"helpful\": \
            [0, 0], \"overall\": 5.0, \"unixReviewTime\": 1355616000, \"reviewTime\": \"12 16, 2012\"}\n",
            "",
            "A10 000100039X 5 1355616000",
        ),
        log(
            "Amazon reviews 2018",
            "Books.csv",
            "0001713353,A1C6M8LCIX4M6M,5.0,1123804800\n",
            "user=2 item=1 value=3 time=4",
            "A1C6M8LCIX4M6M 0001713353 5 1123804800",
        ),
        log(
            "Amazon reviews 2023",
            "All_Beauty.csv",
            "user_id,parent_asin,rating,timestamp\n\
            AGKHLEW2SOWHNMFQIJGBECAF7INQ,B081TJ8YS3,4.0,1588615855070\n",
            "unit=ms",
            "AGKHLEW2SOWHNMFQIJGBECAF7INQ B081TJ8YS3 4 1588615855.07",
        ),
        log(
            "Amazon reviews 2023, JSON Lines",
            "All_Beauty.jsonl",
            "{\"rating\": 5.0, \"title\": \"Such a lovely scent\", \"images\": [], \"asin\": \
            \"B00YQ6X8EO\", \"parent_asin\": \"B00YQ6X8EO\", \"user_id\": \"AGKH\", \"timestamp\": \
            1588687728923, \"verified_purchase\": true}\n",
            "unit=ms",
            "AGKH B00YQ6X8EO 5 1588687728.923",
        ),
    ]
}

fn media() -> Vec<Log> {
    vec![
        latin(
            "Book-Crossing",
            "BX-Book-Ratings.csv",
            b"\"User-ID\";\"ISBN\";\"Book-Rating\"\r\n\"276725\";\"034545104X\";\"0\"\r\n\
            \"276726\";\"M\xe9x\";\"5\"\r\n",
            "encoding=latin1",
            "276725 034545104X 0 -; 276726 Méx 5 -",
        ),
        log(
            "Goodbooks",
            "ratings.csv",
            "user_id,book_id,rating\n1,258,5\n2,4081,4\n",
            "",
            "1 258 5 -; 2 4081 4 -",
        ),
        log(
            "Steam-200k",
            "steam-200k.csv",
            "151603712,\"The Elder Scrolls V Skyrim\",purchase,1.0,0\n\
            151603712,\"The Elder Scrolls V Skyrim\",play,273.0,0\n",
            "user=1 item=2 event=3 value=4",
            "151603712 The Elder Scrolls V Skyrim 1 -/purchase; 151603712 The Elder Scrolls V Skyrim 273 \
            -/play",
        ),
        log(
            "Last.fm 360K",
            "usersha1-artmbid-artname-plays.tsv",
            "00000c28\t3bd73256\tbetty blowtorch\t2137\n00000c28\t\t\"weird al\" yankovic\t1099\n",
            "user=1 item=3 value=4",
            "00000c28 betty blowtorch 2137 -; 00000c28 \"weird al\" yankovic 1099 -",
        ),
        log(
            "Last.fm 1K",
            "userid-timestamp-artid-artname-traid-traname.tsv",
            "user_000001\t2009-05-04T23:08:57Z\tf1b1cf71\tDeep Dish\t\tA Morning\n",
            "user=1 time=2 item=6",
            "user_000001 A Morning - 1241478537",
        ),
        log(
            "HetRec",
            "user_ratedmovies.dat",
            "userID\tmovieID\trating\tdate_day\tdate_month\tdate_year\n75\t3\t1\t29\t10\t2006\n",
            "",
            "75 3 1 -",
        ),
        log(
            "HetRec, time stamps",
            "user_ratedmovies-timestamps.dat",
            "userID\tmovieID\trating\ttimestamp\n75\t3\t1\t1162160236000\n",
            "unit=ms",
            "75 3 1 1162160236",
        ),
        log(
            "Jester",
            "jester.csv",
            "user,joke,rating\n1,5,-8.79\n1,7,10\n",
            "item=joke",
            "1 5 -8.79 -; 1 7 10 -",
        ),
    ]
}

fn shops() -> Vec<Log> {
    vec![
        log(
            "Yoochoose",
            "yoochoose-clicks.dat",
            "1,2014-04-07T10:51:09.277Z,214536502,0\n1,2014-04-07T10:54:09.868Z,214536500,0\n",
            "user=1 time=2 item=3",
            "1 214536502 - 1396867869.277; 1 214536500 - 1396868049.868",
        ),
        log(
            "Diginetica",
            "train-item-views.csv",
            "sessionId;userId;itemId;timeframe;eventdate\n1;NA;81766;526309;2016-05-09\n\
            1;NA;31331;1031018;2016-05-09\n",
            "user=sessionId time=timeframe unit=ms",
            "1 81766 - 526.309; 1 31331 - 1031.018",
        ),
        log(
            "RetailRocket",
            "events.csv",
            "timestamp,visitorid,event,itemid,transactionid\n1433221332117,257597,view,355908,\n",
            "unit=ms",
            "257597 355908 - 1433221332.117/view",
        ),
        log(
            "H&M",
            "transactions_train.csv",
            "t_dat,customer_id,article_id,price,sales_channel_id\n2018-09-20,000058a1,0663713001,0.0508,2\n",
            "",
            "000058a1 0663713001 - 1537401600",
        ),
    ]
}

fn places_and_opinions() -> Vec<Log> {
    vec![
        log(
            "Gowalla",
            "loc-gowalla_totalCheckins.txt",
            "0\t2010-10-19T23:55:27Z\t30.2359091167\t-97.7951395833\t22847\n",
            "user=1 time=2 item=5",
            "0 22847 - 1287532527",
        ),
        latin(
            "Foursquare",
            "dataset_TSMC2014_NYC.txt",
            b"470\t49bbd6c0f964a520f4531fe3\t4bf58dd8\tCaf\xe9\t40.71\t-74.00\t-240\tTue Apr 03 18:00:09 \
            +0000 2012\n",
            "encoding=latin1 user=1 item=2 time=8",
            "470 49bbd6c0f964a520f4531fe3 - 1333476009",
        ),
        log(
            "Epinions",
            "ratings_data.txt",
            "139431 139432 4\n1 100 5\n",
            "user=1 item=2 value=3",
            "1 100 5 -; 139431 139432 4 -",
        ),
        log("FilmTrust", "ratings.txt", "1 1 2\n1 2 3.5\n", "user=1 item=2 value=3", "1 1 2 -; 1 2 3.5 -"),
    ]
}

fn feeds_and_tools() -> Vec<Log> {
    vec![
        log(
            "KuaiRec",
            "big_matrix.csv",
            "user_id,video_id,play_duration,video_duration,time,date,timestamp,watch_ratio\n\
            0,3649,13838,10867,2020-07-05 00:08:23.438,20200705,1593878903.438,1.27\n",
            "",
            "0 3649 1.27 1593878903.438",
        ),
        log(
            "Criteo-like clicks",
            "criteo.tsv",
            "timestamp\tuid\tcampaign\tconversion\tclick\n0\t20073966\t22589171\t0\t0\n\
            2\t20073966\t22589172\t0\t1\n",
            "item=campaign value=click",
            "20073966 22589171 0 0; 20073966 22589172 1 2",
        ),
        log(
            "OTTO",
            "otto.jsonl",
            "{\"session\":0,\"events\":[{\"aid\":1517085,\"ts\":1659304800025,\"type\":\"clicks\"},\
            {\"aid\":1563459,\"ts\":1659304904511,\"type\":\"carts\"}]}\n",
            "unit=ms",
            "0 1517085 - 1659304800.025/clicks; 0 1563459 - 1659304904.511/carts",
        ),
        log(
            "MIND",
            "behaviors.tsv",
            "1\tU13740\t11/15/2019 8:55:22 AM\tN55189 N42782\tN55689-1 N35729-0\n",
            "",
            "U13740 N55689 1 1573808122; U13740 N35729 0 1573808122",
        ),
        log("Orange", "ratings.tab", "user\titem\trating\ntrain\titem\t5\n", "", "train item 5 -"),
        log(
            "RecBole",
            "ml-100k/ml-100k.inter",
            "user_id:token\titem_id:token\trating:float\ttimestamp:float\n196\t242\t3\t881250949\n",
            "",
            "196 242 3 881250949",
        ),
        log(
            "Personalize",
            "interactions.csv",
            "USER_ID,ITEM_ID,TIMESTAMP,EVENT_TYPE,EVENT_VALUE\n35,73,1586731606,watched,\n",
            "",
            "35 73 - 1586731606/watched",
        ),
    ]
}
