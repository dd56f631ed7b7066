#include "network/record_connection.hpp"

#include <array>
#include <deque>

#include <catch2/catch.hpp>

#include "simulation/seeded_random.hpp"
#include "test/network/remote_channels.hpp"

namespace weir {
namespace {

using test::batch_of;
using test::channel_id;
using test::taken_from;
using Words = std::vector<std::string>;
using namespace std::chrono_literals;

constexpr std::size_t plenty = 1'000'000;
constexpr RecordConnectionSettings settings{1s, 10s};
constexpr MonotonicTime start{};

/// One process's end of a connection, with what it was told of failures.
struct End {
  RecordConnection connection{settings, start};
  Words failures;
  std::shared_ptr<Channel> add(ChannelEnd end, const ChannelId& id, std::size_t room = plenty,
                               std::size_t window = plenty) {
    auto queue = std::make_shared<Channel>(room);
    connection.add({id, end, queue, test::empty_batch, window, [this, id](const Error& why) {
                      failures.push_back(std::to_string(id.edge) + ": " + why.what);
                    }});
    return queue;
  }
  std::string written(MonotonicTime now = start) {
    std::string out;
    while (connection.write(out, now)) {
    }
    return out;
  }
};

/// Two processes and what is on its way between them, which comes at once.
struct Pair {
  End producer;
  End consumer;
  void carry(MonotonicTime now = start) {
    for (int i = 0; i < 10; ++i) {
      REQUIRE(producer.connection.receive(consumer.written(now), now));
      REQUIRE(consumer.connection.receive(producer.written(now), now));
    }
  }
};

SCENARIO("a channel is open once both of its tasks are there", "[network]") {
  Pair pair;
  GIVEN("a producer that comes first") {
    const auto from = pair.producer.add(ChannelEnd::producer, channel_id(0));
    from->push(batch_of({"a"}));
    pair.producer.connection.look_at(channel_id(0), ChannelEnd::producer);
    pair.carry();
    CHECK(from->peek() != nullptr);
    THEN("its records wait for the consumer") {
      const auto to = pair.consumer.add(ChannelEnd::consumer, channel_id(0));
      pair.carry();
      CHECK(taken_from(*to) == Words{"a"});
    }
  }
  GIVEN("a consumer that comes first") {
    const auto to = pair.consumer.add(ChannelEnd::consumer, channel_id(0));
    pair.carry();
    THEN("its opening waits for the producer") {
      const auto from = pair.producer.add(ChannelEnd::producer, channel_id(0));
      from->push(batch_of({"a"}));
      pair.producer.connection.look_at(channel_id(0), ChannelEnd::producer);
      pair.carry();
      CHECK(taken_from(*to) == Words{"a"});
    }
    THEN("a producer of the next attempt does not get it") {
      const auto next = pair.producer.add(ChannelEnd::producer, channel_id(0, 1));
      next->push(batch_of({"b"}));
      const auto late = pair.producer.add(ChannelEnd::producer, channel_id(0));
      late->push(batch_of({"a"}));
      pair.producer.connection.look_at(channel_id(0, 1), ChannelEnd::producer);
      pair.producer.connection.look_at(channel_id(0), ChannelEnd::producer);
      pair.carry();
      CHECK(taken_from(*to).empty());
    }
    THEN("with the end of its task the opening is void") {
      pair.consumer.connection.release(channel_id(0), ChannelEnd::consumer);
      pair.carry();
      const auto from = pair.producer.add(ChannelEnd::producer, channel_id(0));
      from->push(batch_of({"a"}));
      pair.producer.connection.look_at(channel_id(0), ChannelEnd::producer);
      pair.carry();
      CHECK(from->peek() != nullptr);
    }
  }
  CHECK(pair.producer.failures.empty());
  CHECK(pair.consumer.failures.empty());
}

SCENARIO("the ends of a channel are forgotten when its tasks have ended", "[network]") {
  Pair pair;
  const auto from = pair.producer.add(ChannelEnd::producer, channel_id(0));
  const auto to = pair.consumer.add(ChannelEnd::consumer, channel_id(0), 1);
  pair.carry();
  const auto push = [&](auto element) {
    from->push(std::move(element));
    pair.producer.connection.look_at(channel_id(0), ChannelEnd::producer);
  };
  GIVEN("a producer that has finished and whose last elements wait for room") {
    for (int i = 0; i < 10; ++i) push(batch_of({std::to_string(i)}));
    push(EndOfPartition{});
    pair.producer.connection.release(channel_id(0), ChannelEnd::producer);
    THEN("they all come") {
      Words words;
      for (int i = 0; i < 12; ++i) {
        pair.carry();
        for (std::string& word : taken_from(*to)) words.push_back(std::move(word));
        pair.consumer.connection.look_at(channel_id(0), ChannelEnd::consumer);
      }
      CHECK(words.size() == 11);
      CHECK(words.back() == "end of partition");
      CHECK(pair.producer.connection.is_unused());
      CHECK(pair.consumer.connection.is_unused());
    }
  }
  GIVEN("a producer that was cancelled") {
    push(batch_of({"a"}));
    pair.producer.connection.release(channel_id(0), ChannelEnd::producer);
    pair.carry();
    THEN("its end is forgotten, and the consumer's waits for its own end") {
      CHECK(pair.producer.connection.is_unused());
      CHECK_FALSE(pair.consumer.connection.is_unused());
      pair.consumer.connection.release(channel_id(0), ChannelEnd::consumer);
      CHECK(pair.consumer.connection.is_unused());
      pair.carry();
    }
  }
  GIVEN("a consumer that has ended before its producer") {
    push(batch_of({"on its way"}));
    const std::string on_its_way = pair.producer.written();
    pair.consumer.connection.release(channel_id(0), ChannelEnd::consumer);
    REQUIRE(pair.consumer.connection.receive(on_its_way, start));
    pair.carry();
    THEN("what was on its way is dropped, and nothing more is sent") {
      CHECK(taken_from(*to).empty());
      push(batch_of({"later"}));
      pair.carry();
      CHECK(taken_from(*from) == Words{"later"});
      CHECK(pair.producer.connection.is_unused());
    }
  }
  GIVEN("a producer whose consumer never comes") {
    const auto lonely = pair.producer.add(ChannelEnd::producer, channel_id(5));
    lonely->push(batch_of({"a"}));
    pair.producer.connection.release(channel_id(0), ChannelEnd::producer);
    pair.producer.connection.release(channel_id(5), ChannelEnd::producer);
    CHECK(pair.producer.connection.is_unused());
  }
  CHECK(pair.producer.failures.empty());
  CHECK(pair.consumer.failures.empty());
}

SCENARIO("what is lost or comes twice on the way is noticed", "[network]") {
  Pair pair;
  const auto from = pair.producer.add(ChannelEnd::producer, channel_id(0));
  const auto to = pair.consumer.add(ChannelEnd::consumer, channel_id(0));
  pair.carry();
  const auto send = [&](const std::string& word) {
    from->push(batch_of({word}));
    pair.producer.connection.look_at(channel_id(0), ChannelEnd::producer);
    return pair.producer.written();
  };
  const std::string first = send("a");
  const std::string second = send("b");
  WHEN("a frame is missing") {
    const Status taken = pair.consumer.connection.receive(second, start);
    REQUIRE_FALSE(taken);
    CHECK(taken.error().code == Errc::corruption);
    CHECK(taken.error().what == "frame 1 came, and 0 was to be next");
    CHECK(taken_from(*to).empty());
  }
  WHEN("a frame comes twice") {
    REQUIRE(pair.consumer.connection.receive(first, start));
    const Status taken = pair.consumer.connection.receive(first, start);
    REQUIRE_FALSE(taken);
    CHECK(taken.error().what == "frame 0 came, and 1 was to be next");
    CHECK(taken_from(*to) == Words{"a"});
  }
  WHEN("the last frame is missing") {
    REQUIRE(pair.consumer.connection.receive(first, start));
    const std::string alive = pair.producer.written(start + 2s);
    const Status taken = pair.consumer.connection.receive(alive, start + 2s);
    THEN("the next sign of life shows it") { REQUIRE_FALSE(taken); }
  }
  WHEN("frames of another connection come") {
    End other;
    const auto queue = other.add(ChannelEnd::consumer, channel_id(0));
    REQUIRE(other.connection.receive(first, start));
    CHECK(taken_from(*queue) == Words{"a"});
    CHECK_FALSE(other.connection.receive(first, start));
  }
}

TEST_CASE("frames of an attempt that is over are dropped", "[network]") {
  Pair pair;
  const auto from = pair.producer.add(ChannelEnd::producer, channel_id(0, 1));
  const auto to = pair.consumer.add(ChannelEnd::consumer, channel_id(0, 1));
  pair.carry();
  // The task of the attempt before has not ended yet at the producer's.
  const auto stale = pair.producer.add(ChannelEnd::producer, channel_id(0, 0));
  pair.consumer.add(ChannelEnd::consumer, channel_id(0, 0));
  pair.carry();
  pair.consumer.connection.release(channel_id(0, 0), ChannelEnd::consumer);
  stale->push(batch_of({"stale"}));
  from->push(batch_of({"fresh"}));
  for (const std::uint32_t attempt : {0U, 1U})
    pair.producer.connection.look_at(channel_id(0, attempt), ChannelEnd::producer);
  const std::string out = pair.producer.written();
  CHECK(out.size() > 2 * frame_header_bytes);
  REQUIRE(pair.consumer.connection.receive(out, start));
  CHECK(taken_from(*to) == Words{"fresh"});
}

SCENARIO("an end at which nothing arrives any more is noticed", "[network]") {
  Pair pair;
  const auto from = pair.producer.add(ChannelEnd::producer, channel_id(0));
  const auto to = pair.consumer.add(ChannelEnd::consumer, channel_id(0));
  pair.carry();
  WHEN("nothing is to be said for hours") {
    MonotonicTime now = start;
    for (int i = 0; i < 10'000; ++i) {
      now = pair.producer.connection.wake_time();
      pair.carry(now);
      CHECK(pair.producer.connection.check(now));
      CHECK(pair.consumer.connection.check(now));
    }
    THEN("both say that they live") { CHECK(now - start > 2h); }
  }
  WHEN("one way is cut") {
    MonotonicTime now = start;
    for (; now < start + 9s; now += 1s) {
      (void)pair.producer.written(now);
      REQUIRE(pair.producer.connection.receive(pair.consumer.written(now), now));
      CHECK(pair.consumer.connection.check(now));
    }
    CHECK(pair.consumer.connection.wake_time() <= start + 10s);
    now = start + 10s;
    THEN("the other end finds out when its time has come, and this one by its silence") {
      const Status lost = pair.consumer.connection.check(now);
      REQUIRE_FALSE(lost);
      CHECK(lost.error().code == Errc::timed_out);
      CHECK(lost.error().what == "nothing has come from it for 10000 ms");
      CHECK(pair.producer.connection.check(now));
      CHECK_FALSE(pair.producer.connection.check(start + 18s));
    }
  }
  WHEN("the connection is lost") {
    from->push(batch_of({"a"}));
    for (End* end : {&pair.producer, &pair.consumer})
      end->connection.lose({Errc::unavailable, "gone"});
    THEN("both tasks are told, once") {
      for (End* end : {&pair.producer, &pair.consumer}) {
        CHECK(end->failures == Words{"0: gone"});
        end->connection.lose({Errc::unavailable, "gone"});
        CHECK(end->failures.size() == 1);
        CHECK(end->connection.is_unused());
        CHECK(end->written().empty());
      }
    }
  }
}

TEST_CASE("a channel that cannot go on fails alone", "[network]") {
  Pair pair;
  std::array<std::shared_ptr<Channel>, 2> from;
  std::array<std::shared_ptr<Channel>, 2> to;
  for (std::uint32_t edge = 0; edge < 2; ++edge) {
    from[edge] = pair.producer.add(ChannelEnd::producer, channel_id(edge));
    to[edge] = pair.consumer.add(ChannelEnd::consumer, channel_id(edge));
  }
  pair.carry();
  SECTION("because a record is too long") {
    from[0]->push(batch_of({std::string(max_frame_payload_bytes, 'x')}));
  }
  SECTION("because records do not decode") {
    auto batch = std::make_unique<Batch<std::uint8_t>>();
    batch->add(1);
    from[0]->push(std::unique_ptr<AnyBatch>(std::move(batch)));
  }
  from[1]->push(batch_of({"a"}));
  for (const std::uint32_t edge : {0U, 1U})
    pair.producer.connection.look_at(channel_id(edge), ChannelEnd::producer);
  pair.carry();
  CHECK(pair.producer.failures.size() + pair.consumer.failures.size() == 1);
  CHECK(taken_from(*to[1]) == Words{"a"});
}

TEST_CASE("frames of a consumer that do not decode end the connection", "[network]") {
  for (const FrameKind kind :
       {FrameKind::open, FrameKind::credit, FrameKind::close, FrameKind::keep_alive}) {
    End end;
    std::string bytes;
    FrameWriter frame(bytes);
    bytes += "1234567";
    frame.finish({kind, channel_id(0), 0});
    const Status taken = end.connection.receive(bytes, start);
    REQUIRE_FALSE(taken);
    CHECK(taken.error().code == Errc::corruption);
  }
}

// ---- against a model ----------------------------------------------------------------------------

/// Two processes with channels in both directions, over lines on which bytes take their time; what a task takes
/// must be what the other one has pushed.
class Model {
 public:
  explicit Model(std::uint64_t seed) : random_(seed) {
    const std::uint64_t channels = random_.between(1, 6);
    for (std::uint32_t i = 0; i < channels; ++i) {
      Way way;
      way.id = channel_id(i);
      way.producer = random_.below(2);
      way.room = random_.between(1, 3000);
      way.window = random_.between(1, 3000);
      ways_.push_back(std::move(way));
    }
  }

  void run() {
    for (int i = 0; i < 4000; ++i) act(random_.below(8));
    for (Way& way : ways_) way.wants_end = true;
    // Everything comes to its end by itself once tasks and lines go on.
    for (int i = 0; i < 100'000 && !is_over(); ++i) act(random_.below(8));
    REQUIRE(is_over());
    for (const Way& way : ways_) {
      CHECK(way.pushed == way.taken);
      CHECK(way.taken.back() == "end of partition");
    }
    // The last credit may still be to be sent.
    for (const std::size_t side : {0U, 1U})
      REQUIRE(ends_[1 - side].connection.receive(ends_[side].written(), start));
    for (End& end : ends_) {
      CHECK(end.failures.empty());
      CHECK(end.connection.is_unused());
      CHECK(end.connection.rests());
    }
  }

 private:
  struct Way {
    ChannelId id;
    std::size_t producer = 0;  ///< which end
    std::size_t room = 0;
    std::size_t window = 0;
    std::shared_ptr<Channel> from;
    std::shared_ptr<Channel> to;
    bool wants_end = false;
    bool ended = false;
    Words pushed;
    Words taken;
  };

  [[nodiscard]] bool is_over() const {
    return lines_[0].empty() && lines_[1].empty() && std::ranges::all_of(ways_, [](const Way& way) {
             return way.ended && way.to && way.taken.size() == way.pushed.size();
           });
  }
  void act(std::uint64_t what) {
    const std::size_t side = random_.below(2);
    Way& way = ways_[random_.below(ways_.size())];
    switch (what) {
      case 0:
      case 1:
        return push(way);
      case 2:
        if (!way.to) {
          way.to = ends_[1 - way.producer].add(ChannelEnd::consumer, way.id, way.room, way.window);
        } else {
          for (std::string& word : taken_from(*way.to, random_.below(4)))
            way.taken.push_back(std::move(word));
        }
        return;
      case 3:
        return ends_[way.producer].connection.look_at(way.id, ChannelEnd::producer);
      case 4:
        return ends_[1 - way.producer].connection.look_at(way.id, ChannelEnd::consumer);
      case 5:
        (void)ends_[side].connection.write(lines_[side], start);
        return;
      default:
        return arrive(side);
    }
  }
  void push(Way& way) {
    if (!way.from) {
      way.from = ends_[way.producer].add(ChannelEnd::producer, way.id, way.room);
      return;
    }
    if (way.ended || !way.from->has_room()) return;
    if (way.wants_end) {
      way.from->push(EndOfPartition{});
      way.pushed.emplace_back("end of partition");
      way.ended = true;
      return;
    }
    if (random_.one_in(4)) {
      way.from->push(Watermark{++number_});
      way.pushed.push_back("watermark " + std::to_string(number_));
      return;
    }
    Words words;
    for (std::uint64_t i = random_.between(1, 5); i > 0; --i)
      words.push_back(std::string(random_.below(random_.one_in(50) ? 40'000 : 200), 'x') +
                      std::to_string(++number_));
    way.pushed.insert(way.pushed.end(), words.begin(), words.end());
    way.from->push(batch_of(std::move(words)));
  }
  /// Some of the bytes that `side` has sent.
  void arrive(std::size_t side) {
    std::string& line = lines_[side];
    const std::size_t bytes = std::min<std::size_t>(line.size(), random_.below(5000));
    REQUIRE(ends_[1 - side].connection.receive(line.substr(0, bytes), start));
    line.erase(0, bytes);
  }

  SeededRandom random_;
  std::array<End, 2> ends_;
  std::array<std::string, 2> lines_;  ///< sent by each end and not there yet
  std::vector<Way> ways_;
  long number_ = 0;
};

TEST_CASE("what comes through channels is what was pushed, whatever the delays", "[network]") {
  for (std::uint64_t seed = 1; seed <= 100; ++seed) {
    INFO("seed " << seed);
    Model(seed).run();
  }
}

}  // namespace
}  // namespace weir
