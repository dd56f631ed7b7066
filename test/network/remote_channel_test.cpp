#include <optional>

#include <catch2/catch.hpp>

#include "network/incoming_channel.hpp"
#include "network/outgoing_channel.hpp"
#include "test/network/remote_channels.hpp"

namespace weir {

/// A record whose codec throws.
struct Thrower {
  int when = 0;  ///< 1: as it is written, 2: as it is read
};
template <>
struct Codec<Thrower> {
  static constexpr std::size_t fixed_width = 4;
  static constexpr std::size_t min_width = 4;
  template <Encoding E>
  static void encode(const Thrower& value, ByteWriter& writer) {
    if (value.when == 1) throw std::runtime_error("no ink");
    writer.number(value.when);
  }
  static void decode(ByteReader& reader, Thrower& value) {
    value.when = reader.number<int>();
    if (value.when == 2) throw std::runtime_error("no glasses");
  }
  static Schema schema(SchemaContext&) { return {}; }
  static std::size_t heap_bytes(const Thrower&) { return 0; }
};

namespace {

using test::batch_of;
using test::channel_id;
using test::taken_from;
using Words = std::vector<std::string>;

constexpr std::size_t plenty = 1'000'000;

/// Both ends of a channel, and what is between them.
struct Ends {
  explicit Ends(std::size_t window = plenty, std::size_t room = plenty)
      : to(std::make_shared<Channel>(room)),
        outgoing(channel_id(0), from),
        incoming(channel_id(0), to, test::empty_batch, window) {
    give_credit();
  }
  void give_credit() {
    if (const auto limit = incoming.take_credit()) outgoing.grant(*limit);
  }
  /// The next frame, as it would be on the wire.
  Frame next() {
    std::string out;
    REQUIRE(outgoing.can_send());
    REQUIRE(outgoing.write_next(number++, out));
    reader.feed(out);
    const auto frame = reader.next();
    REQUIRE(frame);
    REQUIRE(*frame);
    return **frame;
  }
  /// Sends all that there is credit for, and returns how many frames that were.
  std::size_t carry() {
    std::size_t frames = 0;
    for (; outgoing.can_send(); ++frames) {
      const Frame frame = next();
      REQUIRE(incoming.receive(frame.header.kind, frame.payload));
    }
    REQUIRE(incoming.move_on());
    return frames;
  }

  const std::shared_ptr<Channel> from = std::make_shared<Channel>(plenty);
  const std::shared_ptr<Channel> to;
  OutgoingChannel outgoing;
  IncomingChannel incoming;
  FrameReader reader;
  std::uint64_t number = 0;
};

TEST_CASE("whatever flows through a channel reaches another process in its order", "[network]") {
  Ends ends;
  CheckpointBarrier barrier{CheckpointId{7}, 5, {}};
  barrier.options.directory = "/chk-7";
  ends.from->push(batch_of({"a", "b"}));
  ends.from->push(Watermark{3});
  ends.from->push(barrier);
  ends.from->push(CancelCheckpointMarker{CheckpointId{8}});
  ends.from->push(batch_of({"c"}));
  ends.from->push(EndOfInput{});
  CHECK_FALSE(ends.outgoing.is_drained());
  ends.carry();
  CHECK(ends.outgoing.is_drained());
  CHECK_FALSE(ends.outgoing.has_ended());
  CHECK_FALSE(ends.incoming.has_ended());
  ends.from->push(EndOfPartition{});
  ends.carry();
  CHECK(ends.outgoing.has_ended());
  CHECK(ends.incoming.has_ended());
  CHECK(taken_from(*ends.to) == Words{"a", "b", "watermark 3", "barrier 7 /chk-7", "cancel 8", "c",
                                      "end of input", "end of partition"});
}

TEST_CASE("times and hashes of records go along", "[network]") {
  Ends ends;
  auto batch = std::make_unique<Batch<std::string>>();
  for (int i = 0; i < 3; ++i) {
    batch->add(std::string(50'000, 'x'));
    batch->times.push_back(i);
    batch->hashes.push_back(static_cast<KeyHash>(10 + i));
  }
  ends.from->push(std::unique_ptr<AnyBatch>(std::move(batch)));
  CHECK(ends.carry() == 2);  // two records fill a frame
  std::vector<EventTime> times;
  std::vector<KeyHash> hashes;
  while (ends.to->peek() != nullptr) {
    auto element = ends.to->pop();
    const auto& part =
        static_cast<Batch<std::string>&>(*std::get<std::unique_ptr<AnyBatch>>(element));
    times.insert(times.end(), part.times.begin(), part.times.end());
    hashes.insert(hashes.end(), part.hashes.begin(), part.hashes.end());
  }
  CHECK(times == std::vector<EventTime>{0, 1, 2});
  CHECK(hashes == std::vector<KeyHash>{10, 11, 12});
}

TEST_CASE("batches come back to both tasks", "[network]") {
  Ends ends;
  ends.from->push(batch_of({"a"}));
  ends.carry();
  CHECK(ends.from->take_spent() != nullptr);
  auto element = ends.to->pop();
  auto& batch = std::get<std::unique_ptr<AnyBatch>>(element);
  const AnyBatch* const address = batch.get();
  ends.to->recycle(std::move(batch));
  ends.from->push(batch_of({"b"}));
  ends.carry();
  element = ends.to->pop();
  CHECK(std::get<std::unique_ptr<AnyBatch>>(element).get() == address);
}

SCENARIO("a producer sends no more than its consumer has given credit for", "[network]") {
  GIVEN("a consumer that takes 1000 bytes and has room for one batch") {
    Ends ends(1000, 1);
    const auto batch = [&] { ends.from->push(batch_of({std::string(300, 'x')})); };
    for (int i = 0; i < 20; ++i) batch();
    WHEN("nothing is taken from the queue") {
      ends.carry();
      ends.give_credit();
      ends.carry();
      THEN("the frames that wait overdraw the credit by less than one of them") {
        // The first went into the queue and is paid for again at the next half window.
        CHECK(ends.incoming.waiting_bytes() < 1000 + frame_header_bytes + 310);
        CHECK_FALSE(ends.outgoing.can_send());
        CHECK_FALSE(ends.outgoing.is_drained());
        CHECK_FALSE(ends.incoming.take_credit());
      }
    }
    WHEN("the queue is emptied again and again") {
      std::size_t records = 0;
      for (int i = 0; i < 30; ++i) {
        ends.carry();
        records += taken_from(*ends.to).size();
        REQUIRE(ends.incoming.move_on());
        ends.give_credit();
      }
      THEN("everything comes") { CHECK(records == 20); }
    }
  }
  GIVEN("a consumer that takes less than one record is long") {
    Ends ends(1, plenty);
    for (int i = 0; i < 3; ++i) ends.from->push(batch_of({std::string(300, 'x')}));
    THEN("one record is on its way at a time") {
      for (int i = 0; i < 3; ++i) {
        CHECK(ends.carry() == 1);
        CHECK(ends.carry() == 0);
        CHECK(taken_from(*ends.to).size() == 1);
        ends.give_credit();
      }
      CHECK(ends.outgoing.is_drained());
    }
  }
  GIVEN("a consumer that has not come yet") {
    const auto queue = std::make_shared<Channel>(plenty);
    OutgoingChannel outgoing(channel_id(0), queue);
    queue->push(Watermark{1});
    THEN("nothing is sent") {
      CHECK_FALSE(outgoing.is_open());
      CHECK_FALSE(outgoing.can_send());
      outgoing.grant(10);
      CHECK(outgoing.is_open());
      CHECK(outgoing.can_send());
    }
    THEN("credit does not go back") {
      outgoing.grant(10);
      outgoing.grant(0);
      CHECK(outgoing.can_send());
    }
  }
}

TEST_CASE("when the task makes room, whoever hands on is woken", "[network]") {
  class Counting final : public Wakeable {
   public:
    void wake() override { ++count; }
    int count = 0;
  };
  Ends ends(plenty, 1);
  const auto woken = std::make_shared<Counting>();
  ends.to->set_producer(woken);
  ends.from->push(batch_of({"a"}));
  ends.from->push(batch_of({"b"}));
  ends.carry();
  CHECK(ends.incoming.waiting_bytes() > 0);
  CHECK(woken->count == 0);
  CHECK(taken_from(*ends.to) == Words{"a"});
  CHECK(woken->count == 1);
  REQUIRE(ends.incoming.move_on());
  CHECK(taken_from(*ends.to) == Words{"b"});
}

TEST_CASE("frames that a channel cannot take are refused", "[network]") {
  const auto refusal = [](IncomingChannel& channel, FrameKind kind, std::string_view payload) {
    Status taken = channel.receive(kind, payload);
    if (taken) {
      const auto moved = channel.move_on();
      if (!moved) taken = std::unexpected(moved.error());
    }
    REQUIRE_FALSE(taken);
    CHECK(taken.error().code == Errc::corruption);
    return taken.error().what;
  };
  const auto queue = std::make_shared<Channel>(plenty);
  IncomingChannel channel(channel_id(3), queue, test::empty_batch, 1);
  const std::string edge = "edge 3 from subtask 0 to subtask 0: ";
  CHECK(refusal(channel, FrameKind::end_of_input, "") ==
        edge + "a frame came for which no credit was given");
  (void)channel.take_credit();

  SECTION("more than there is credit for") {
    REQUIRE(channel.receive(FrameKind::end_of_input, ""));
    CHECK(refusal(channel, FrameKind::end_of_input, "") ==
          edge + "a frame came for which no credit was given");
  }
  SECTION("something behind the end") {
    REQUIRE(channel.receive(FrameKind::end_of_partition, ""));
    CHECK(refusal(channel, FrameKind::end_of_input, "") ==
          edge + "a frame came behind the end of the channel");
  }
  SECTION("events that do not decode") {
    const auto [kind, payload] =
        GENERATE(table<FrameKind, std::string>({{FrameKind::watermark, "1234567"},
                                                {FrameKind::watermark, "123456789"},
                                                {FrameKind::barrier, std::string(10, '\xff')},
                                                {FrameKind::cancel_marker, ""},
                                                {FrameKind::end_of_input, "x"}}));
    CHECK(refusal(channel, kind, payload) == edge + "an event does not decode");
  }
  SECTION("an end with something in it") {
    CHECK(refusal(channel, FrameKind::end_of_partition, "x") ==
          edge + "the end of the channel has a payload");
  }
  SECTION("records that do not decode") {
    std::string good;
    ByteWriter writer(good);
    const auto batch = batch_of({"abc", "d"});
    std::get<std::unique_ptr<AnyBatch>>(batch)->encode(writer);
    const std::string bad =
        GENERATE_COPY(good + "x", good.substr(0, good.size() - 1), std::string(5, '\xff'), "");
    CHECK(refusal(channel, FrameKind::batch, bad) ==
          edge +
              "records of another process do not decode; the job's code must be the same in all "
              "processes");
  }
}

TEST_CASE("a codec that throws is an error of its channel", "[network]") {
  const auto queue = std::make_shared<Channel>(plenty);
  const auto push = [&](int when) {
    auto batch = std::make_unique<Batch<Thrower>>();
    batch->add({0});
    batch->add({when});
    queue->push(std::unique_ptr<AnyBatch>(std::move(batch)));
  };
  OutgoingChannel outgoing(channel_id(0), queue);
  outgoing.grant(plenty);
  push(1);
  std::string out = "before";
  const Status written = outgoing.write_next(0, out);
  REQUIRE_FALSE(written);
  CHECK(written.error().code == Errc::user_function_failed);
  CHECK(written.error().what == "the code that writes a record for another process threw: no ink");
  CHECK(out == "before");

  IncomingChannel incoming(
      channel_id(0), queue, [] { return std::make_unique<Batch<Thrower>>(); }, plenty);
  (void)incoming.take_credit();
  Batch<Thrower> batch;
  batch.add({2});
  std::string payload;
  ByteWriter writer(payload);
  batch.encode(writer);
  REQUIRE(incoming.receive(FrameKind::batch, payload));
  const auto moved = incoming.move_on();
  REQUIRE_FALSE(moved);
  CHECK(moved.error().code == Errc::user_function_failed);
  CHECK(moved.error().what ==
        "edge 0 from subtask 0 to subtask 0: the code that reads a record of another process "
        "threw: no glasses");
}

TEST_CASE("a record that no frame holds is refused with its size", "[network]") {
  Ends ends;
  ends.from->push(batch_of({std::string(max_frame_payload_bytes, 'x')}));
  std::string out;
  const Status written = ends.outgoing.write_next(0, out);
  REQUIRE_FALSE(written);
  CHECK(written.error().code == Errc::limit_exceeded);
  CHECK(written.error().what.starts_with("a record takes 67108873 bytes"));
  CHECK(out.empty());
}

}  // namespace
}  // namespace weir
