#include "network/record_exchange.hpp"

#include <deque>
#include <thread>

#include <catch2/catch.hpp>

#include "runtime/waker.hpp"
#include "test/network/remote_channels.hpp"

namespace weir {
namespace {

using test::batch_of;
using test::channel_id;
using test::taken_from;
using Words = std::vector<std::string>;
using namespace std::chrono_literals;

class ManualClock final : public Clock {
 public:
  [[nodiscard]] MonotonicTime now() const override { return time; }
  [[nodiscard]] WallTime wall_now() const override { return {}; }
  MonotonicTime time;
};

/// Connects exchanges of one process, from thread to thread if need be.
class Network {
 public:
  /// How exchange `self` connects.
  class Transport final : public RecordTransport {
   public:
    Transport(Network& network, TaskManagerId self) : network_(network), self_(self) {}
    void connect(TaskManagerId peer) override { network_.connect(self_, peer); }

   private:
    Network& network_;
    TaskManagerId self_;
  };
  struct Line {
    RecordExchange* to = nullptr;
    std::uint64_t number = 0;  ///< of the connection at `to`
    bool cut = false;
    bool open = true;
  };
  class Link final : public RecordLink {
   public:
    explicit Link(std::shared_ptr<Line> line) : line_(std::move(line)) {}
    void send(std::string bytes) override {
      if (!line_->cut && line_->open) line_->to->received(line_->number, std::move(bytes));
    }
    void close() override {
      line_->open = false;
      if (!line_->cut) line_->to->lost(line_->number, "the other end has closed it");
    }

   private:
    std::shared_ptr<Line> line_;
  };

  void connect(TaskManagerId from, TaskManagerId to) {
    ++attempts;
    if (!refusal.empty()) return exchanges[from]->refused(to, refusal);
    auto there = std::make_shared<Line>(Line{exchanges[to]});
    auto back = std::make_shared<Line>(Line{exchanges[from]});
    // Either side may send as soon as it knows the number that the other one has given.
    back->number = exchanges[from]->connected(to, std::make_unique<Link>(there));
    there->number = exchanges[to]->connected(from, std::make_unique<Link>(back));
    lines = {there, back};
  }

  std::map<TaskManagerId, RecordExchange*> exchanges;
  std::vector<std::shared_ptr<Line>> lines;  ///< of the newest connection: there and back
  std::string refusal;
  int attempts = 0;
};

constexpr TaskManagerId one{1};
constexpr TaskManagerId two{2};

/// Two processes.
struct Cluster {
  Cluster() { network.exchanges = {{one, &first}, {two, &second}}; }
  void settle() {
    for (int i = 0; i < 50; ++i) {
      first.step();
      second.step();
    }
  }
  /// Lets time pass, with `first` and `second` stepping whenever they want to.
  void pass(std::chrono::nanoseconds length) {
    const MonotonicTime end = clock.time + length;
    while (clock.time < end) {
      settle();
      MonotonicTime next = end;
      for (RecordExchange* exchange : {&first, &second})
        if (const auto wake = exchange->wake_time()) next = std::min(next, *wake);
      clock.time = std::max(next, clock.time + 1ms);
    }
    settle();
  }
  std::shared_ptr<Channel> add(TaskManagerId at, ChannelEnd end, const ChannelId& id) {
    auto queue = std::make_shared<Channel>(1000);
    RecordExchange& exchange = at == one ? first : second;
    exchange.add(at == one ? two : one,
                 {id, end, queue, test::empty_batch, 1000, [this, at, id](const Error& why) {
                    CHECK(why.code == Errc::unavailable);
                    failures.push_back("TaskManager " + std::to_string(at.value) + ", edge " +
                                       std::to_string(id.edge) + ", attempt " +
                                       std::to_string(id.fence.attempt) + ": " + why.what);
                  }});
    return queue;
  }

  ManualClock clock;
  Network network;
  Network::Transport from_one{network, one};
  Network::Transport from_two{network, two};
  Words log;
  RecordExchange first{
      one, from_one, clock, {1s, 10s}, [this](const std::string& text) { log.push_back(text); }};
  RecordExchange second{two, from_two, clock, {1s, 10s}, [](const std::string&) {}};
  Words failures;
};

SCENARIO("processes connect when tasks need it", "[network]") {
  Cluster cluster;
  GIVEN("channels in both directions, whose ends come in any order") {
    const auto from = cluster.add(two, ChannelEnd::producer, channel_id(0));
    cluster.pass(1s);
    CHECK(cluster.network.attempts == 0);
    from->push(batch_of({"a"}));
    const auto to = cluster.add(one, ChannelEnd::consumer, channel_id(0));
    const auto back = cluster.add(one, ChannelEnd::producer, channel_id(1));
    back->push(batch_of({"b"}));
    const auto end = cluster.add(two, ChannelEnd::consumer, channel_id(1));
    cluster.settle();
    THEN("they share one connection, which the lower one makes") {
      CHECK(cluster.network.attempts == 1);
      CHECK(taken_from(*to) == Words{"a"});
      CHECK(taken_from(*end) == Words{"b"});
      CHECK(cluster.first.rests());
      CHECK(cluster.second.rests());
    }
    THEN("what is pushed later comes by itself, and waits for room") {
      for (int i = 0; i < 20; ++i) from->push(batch_of({std::string(500, 'x')}));
      CHECK(cluster.second.has_work());
      std::size_t records = taken_from(*to).size();
      cluster.settle();
      CHECK_FALSE(cluster.first.has_work());
      CHECK_FALSE(cluster.first.rests());
      CHECK_FALSE(cluster.second.rests());
      CHECK(to->queued_bytes() < 3000);
      for (int i = 0; i < 20; ++i) {
        records += taken_from(*to).size();
        cluster.settle();
      }
      CHECK(records == 21);
      CHECK(cluster.first.rests());
    }
  }
  GIVEN("a process that cannot be reached") {
    cluster.network.refusal = "no route";
    cluster.add(one, ChannelEnd::consumer, channel_id(0));
    cluster.add(two, ChannelEnd::producer, channel_id(0));
    WHEN("it can be reached in time") {
      cluster.pass(5s);
      CHECK(cluster.network.attempts == 6);
      cluster.network.refusal.clear();
      cluster.pass(20s);
      THEN("nothing has failed") {
        CHECK(cluster.failures.empty());
        CHECK(cluster.network.attempts == 7);
      }
    }
    WHEN("it cannot") {
      cluster.pass(11s);
      THEN("both tasks fail with the reason") {
        CHECK(cluster.failures ==
              Words{"TaskManager 1, edge 0, attempt 0: TaskManager 1 and TaskManager 2 have no "
                    "connection for records: no route",
                    "TaskManager 2, edge 0, attempt 0: TaskManager 2 and TaskManager 1 have no "
                    "connection for records"});
        CHECK_FALSE(cluster.first.wake_time());
      }
    }
    WHEN("the tasks end before") {
      cluster.first.release(two, channel_id(0), ChannelEnd::consumer);
      cluster.second.release(one, channel_id(0), ChannelEnd::producer);
      cluster.pass(20s);
      THEN("nobody is told") { CHECK(cluster.failures.empty()); }
    }
  }
}

SCENARIO("a lost connection ends the attempt, and the next one gets a new connection",
         "[network]") {
  Cluster cluster;
  const auto from = cluster.add(one, ChannelEnd::producer, channel_id(0));
  const auto to = cluster.add(two, ChannelEnd::consumer, channel_id(0));
  cluster.settle();
  from->push(batch_of({"a"}));
  cluster.settle();
  const std::string edge = ", edge 0, attempt 0: ";
  const auto both_failed = [&](const std::string& first, const std::string& second) {
    CHECK(cluster.failures ==
          Words{"TaskManager 1" + edge +
                    "the connection for records between TaskManager 1 and TaskManager 2 is lost: " +
                    first,
                "TaskManager 2" + edge +
                    "the connection for records between TaskManager 2 and TaskManager 1 is lost: " +
                    second});
  };
  const auto connects_anew = [&] {
    // What the old attempt still pushes goes nowhere.
    from->push(batch_of({"old"}));
    const auto next = cluster.add(one, ChannelEnd::producer, channel_id(0, 1));
    const auto next_to = cluster.add(two, ChannelEnd::consumer, channel_id(0, 1));
    next->push(batch_of({"new"}));
    cluster.pass(1s);
    CHECK(taken_from(*to) == Words{"a"});
    CHECK(taken_from(*next_to) == Words{"new"});
    CHECK(cluster.failures.size() == 2);
    CHECK(cluster.network.attempts == 2);
  };
  WHEN("the transport says so") {
    cluster.first.lost(1, "reset");
    cluster.second.lost(1, "reset by peer");
    cluster.settle();
    both_failed("reset", "reset by peer");
    const std::string connection =
        "the connection for records between TaskManager 1 and TaskManager 2 is ";
    CHECK(cluster.log == Words{connection + "there", connection + "lost: reset"});
    connects_anew();
  }
  WHEN("both ways are cut") {
    for (const auto& line : cluster.network.lines) line->cut = true;
    cluster.pass(11s);
    both_failed("nothing has come from it for 10000 ms", "nothing has come from it for 10000 ms");
    connects_anew();
  }
  WHEN("the way there is cut") {
    cluster.network.lines[0]->cut = true;
    cluster.pass(30s);
    THEN("who hears nothing ends it, and the other one hears of that") {
      CHECK(cluster.failures.size() == 2);
      connects_anew();
    }
  }
  WHEN("a frame is lost") {
    cluster.network.lines[0]->cut = true;
    from->push(batch_of({"lost"}));
    cluster.settle();
    cluster.network.lines[0]->cut = false;
    cluster.pass(2s);
    CHECK(cluster.failures.size() == 2);
    connects_anew();
  }
  WHEN("bytes come that are no frames") {
    cluster.second.received(1, "GET / HTTP/1.1");
    cluster.settle();
    CHECK(cluster.failures.size() == 2);
    connects_anew();
  }
  WHEN("one end is lost and the other does not hear of it") {
    for (const auto& line : cluster.network.lines) line->cut = true;
    cluster.first.lost(1, "reset");
    cluster.settle();
    CHECK(cluster.failures.size() == 1);
    THEN("a new connection shows it that the old one is over") {
      const auto next = cluster.add(one, ChannelEnd::producer, channel_id(0, 1));
      cluster.settle();
      both_failed("reset", "it has connected anew");
      const auto next_to = cluster.add(two, ChannelEnd::consumer, channel_id(0, 1));
      next->push(batch_of({"new"}));
      cluster.settle();
      CHECK(taken_from(*next_to) == Words{"new"});
    }
  }
  WHEN("late bytes of the old connection come") {
    cluster.first.lost(1, "reset");
    cluster.second.lost(1, "reset");
    cluster.settle();
    const auto next = cluster.add(one, ChannelEnd::producer, channel_id(0, 1));
    const auto next_to = cluster.add(two, ChannelEnd::consumer, channel_id(0, 1));
    cluster.settle();
    cluster.second.received(1, "of the old connection");
    cluster.second.lost(1, "of the old connection");
    next->push(batch_of({"new"}));
    cluster.settle();
    THEN("nobody minds") {
      CHECK(cluster.failures.size() == 2);
      CHECK(taken_from(*next_to) == Words{"new"});
    }
  }
}

TEST_CASE("tasks and exchanges on threads of their own lose no record and no wake-up",
          "[network]") {
  class Parking final : public Wakeable {
   public:
    void wake() override { waker.wake(); }
    Waker waker;
  };
  // Time stands still: nothing here needs any.
  Cluster cluster;
  constexpr int count = 20'000;
  const auto drive = [](RecordExchange& exchange, const std::shared_ptr<Parking>& parking,
                        const std::atomic<bool>& over) {
    while (!over.load()) {
      parking->waker.prepare_to_park();
      if (exchange.has_work() || over.load()) {
        parking->waker.cancel_park();
        exchange.step();
      } else {
        parking->waker.park_until(std::nullopt);
      }
    }
  };
  const auto from = cluster.add(one, ChannelEnd::producer, channel_id(0));
  const auto to = cluster.add(two, ChannelEnd::consumer, channel_id(0));
  // A connection is made on one thread; from then on each exchange has its own.
  cluster.settle();
  const auto producer = std::make_shared<Parking>();
  const auto consumer = std::make_shared<Parking>();
  from->set_producer(producer);
  to->set_consumer(consumer);
  const std::array parking{std::make_shared<Parking>(), std::make_shared<Parking>()};
  cluster.first.set_wakeable(parking[0]);
  cluster.second.set_wakeable(parking[1]);
  std::atomic<bool> over{false};
  std::thread first([&] { drive(cluster.first, parking[0], over); });
  std::thread second([&] { drive(cluster.second, parking[1], over); });
  std::thread producing([&] {
    for (int i = 0; i < count;) {
      producer->waker.prepare_to_park();
      if (!from->has_room()) {
        producer->waker.park_until(std::nullopt);
        continue;
      }
      producer->waker.cancel_park();
      from->push(batch_of({std::to_string(i), std::to_string(i + 1)}));
      i += 2;
    }
  });
  int next = 0;
  bool in_order = true;
  while (next < count) {
    consumer->waker.prepare_to_park();
    if (to->peek() == nullptr) {
      consumer->waker.park_until(std::nullopt);
      continue;
    }
    consumer->waker.cancel_park();
    for (const std::string& word : taken_from(*to))
      in_order = word == std::to_string(next++) && in_order;
  }
  over = true;
  for (const auto& one : parking) one->wake();
  for (std::thread* thread : {&first, &second, &producing}) thread->join();
  CHECK(in_order);
  CHECK(cluster.failures.empty());
}

}  // namespace
}  // namespace weir
