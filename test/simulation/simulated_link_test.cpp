#include "simulation/simulated_link.hpp"

#include <catch2/catch.hpp>

#include "test/connectors/operator_harness.hpp"

namespace weir::test {
namespace {

using namespace std::chrono_literals;
using Words = std::vector<std::string>;

/// A link, and what arrives over it.
struct Line {
  ManualClock clock;
  SimulatedLink link{"JobManager -> TaskManager:1", clock};
  Words arrived;
  Words told;

  Line() {
    clock.time += 1h;
    link.on_fault = [this](const std::string& what) { told.push_back(what); };
  }
  void send(const std::string& message) {
    DeliveryRecord record;
    record.message = message;
    link.carry(record, [this, message] { arrived.push_back(message); });
  }
  /// Lets time pass, and what is due meanwhile arrive.
  void pass(std::chrono::nanoseconds time) {
    const MonotonicTime end = clock.time + time;
    while (link.next_arrival() && *link.next_arrival() <= end) {
      clock.time = std::max(clock.time, *link.next_arrival());
      link.deliver();
    }
    clock.time = end;
  }
};

}  // namespace

SCENARIO("a link does to messages what it is told to, and keeps their order", "[simulation]") {
  Line line;
  GIVEN("nothing is done to it") {
    line.send("A");
    line.send("B");
    THEN("messages arrive at once, and none is counted") {
      CHECK(line.arrived == Words{"A", "B"});
      CHECK_FALSE(line.link.next_arrival());
      CHECK(line.told.empty());
    }
  }
  GIVEN("the next message is delayed") {
    line.link.delay_next(10s);
    line.send("A");
    line.send("B");
    THEN("it arrives later, and what was sent behind it not before it") {
      CHECK(line.arrived.empty());
      CHECK(line.link.next_arrival() == line.clock.time + 10s);
      line.pass(9s);
      CHECK(line.arrived.empty());
      line.pass(1s);
      CHECK(line.arrived == Words{"A", "B"});
      const auto hits = line.link.take_hits();
      CHECK(hits.delayed == 1);
      CHECK(line.told == Words{"A is delayed"});
    }
    THEN("the one after that is not delayed") {
      line.pass(10s);
      line.send("C");
      CHECK(line.arrived == Words{"A", "B", "C"});
    }
    THEN("a shorter delay does not overtake it") {
      line.link.delay_next(1s);
      line.send("C");
      line.pass(9s);
      CHECK(line.arrived.empty());
      line.pass(1s);
      CHECK(line.arrived == Words{"A", "B", "C"});
    }
    THEN("it is lost if one end of the link is") {
      line.link.clear();
      CHECK_FALSE(line.link.next_arrival());
    }
  }
  GIVEN("the next message of a name is dropped") {
    line.link.drop_next("B");
    for (const char* message : {"A", "B", "B", "C"}) line.send(message);
    THEN("that one is lost, and no other") {
      CHECK(line.arrived == Words{"A", "B", "C"});
      CHECK(line.told == Words{"B is dropped"});
      CHECK(line.link.take_hits().dropped == 1);
      CHECK(line.link.take_hits().dropped == 0);
    }
  }
  GIVEN("the next message is repeated") {
    line.link.repeat_next(3s);
    line.send("A");
    THEN("it arrives at once, and again behind what was sent meanwhile") {
      CHECK(line.arrived == Words{"A"});
      line.send("B");
      line.pass(3s);
      CHECK(line.arrived == Words{"A", "A", "B"});
      CHECK(line.link.take_hits().repeated == 1);
      CHECK(line.told == Words{"A comes twice"});
    }
  }
  GIVEN("it holds what is sent until a time") {
    line.link.hold_until(line.clock.time + 5s);
    line.send("A");
    line.pass(2s);
    line.send("B");
    THEN("all of it arrives then") {
      line.pass(2s);
      CHECK(line.arrived.empty());
      line.pass(1s);
      CHECK(line.arrived == Words{"A", "B"});
    }
  }
  GIVEN("it is cut until a time") {
    line.link.cut_until(line.clock.time + 5s);
    line.send("A");
    line.pass(4s);
    line.send("B");
    WHEN("the time comes") {
      line.pass(1s);
      line.send("C");
      THEN("what was sent meanwhile is lost") {
        CHECK(line.arrived == Words{"C"});
        CHECK(line.link.take_hits().cut == 2);
        CHECK(line.told == Words{"A is lost: the link is cut", "B is lost: the link is cut"});
      }
    }
    WHEN("it heals before that") {
      line.link.heal();
      line.send("C");
      THEN("messages arrive again") { CHECK(line.arrived == Words{"C"}); }
    }
  }
  GIVEN("a fault that is to come, and a message that waits") {
    line.link.delay_next(5s);
    line.send("A");
    line.link.drop_next();
    WHEN("the link heals") {
      line.link.heal();
      line.send("B");
      THEN("the fault does not happen, and what waits arrives when it was to") {
        line.pass(4s);
        CHECK(line.arrived.empty());
        line.pass(1s);
        CHECK(line.arrived == Words{"A", "B"});
      }
    }
  }
}

SCENARIO("somebody decides what happens to each message on a link", "[simulation]") {
  Line line;
  line.link.decide = [](const DeliveryRecord& record) {
    const std::string& message = record.message;
    const FlowFault fault = message == "drop"     ? FlowFault::dropped
                            : message == "delay"  ? FlowFault::delayed
                            : message == "repeat" ? FlowFault::repeated
                                                  : FlowFault::none;
    return SimulatedLink::Deed{fault, 4s};
  };
  WHEN("it is to be dropped") {
    for (const char* message : {"A", "drop", "B"}) line.send(message);
    THEN("it alone is lost") { CHECK(line.arrived == Words{"A", "B"}); }
  }
  WHEN("it is to come again by itself, twice") {
    line.link.decide = [](const DeliveryRecord& record) {
      return SimulatedLink::Deed{record.message == "repeat" ? FlowFault::repeated : FlowFault::none,
                                 4s, true, 2};
    };
    line.send("repeat");
    line.send("A");
    THEN("what is sent meanwhile does not wait for it, and it comes behind that") {
      CHECK(line.arrived == Words{"repeat", "A"});
      CHECK(line.link.next_arrival() == line.clock.time + 4s);
      line.link.hold_until(line.clock.time + 9s);
      line.send("B");
      line.pass(5s);
      CHECK(line.arrived == Words{"repeat", "A", "repeat", "repeat"});
      line.pass(4s);
      CHECK(line.arrived == Words{"repeat", "A", "repeat", "repeat", "B"});
      CHECK_FALSE(line.link.next_arrival());
    }
    THEN("it is lost if one end of the link is") {
      line.link.clear();
      CHECK_FALSE(line.link.next_arrival());
    }
  }
  WHEN("it is to be delayed") {
    for (const char* message : {"A", "delay", "B"}) line.send(message);
    THEN("it arrives a while later") {
      CHECK(line.arrived == Words{"A"});
      line.pass(4s);
      CHECK(line.arrived == Words{"A", "delay", "B"});
    }
  }
  WHEN("it is to be repeated") {
    line.send("repeat");
    THEN("it arrives now and a while later") {
      CHECK(line.arrived == Words{"repeat"});
      line.pass(4s);
      CHECK(line.arrived == Words{"repeat", "repeat"});
      CHECK_FALSE(line.link.next_arrival());
    }
  }
  WHEN("a fault of the link itself meets the message") {
    line.link.drop_next("repeat");
    line.send("repeat");
    THEN("that one counts, and nobody is asked") {
      CHECK(line.arrived.empty());
      CHECK(line.link.take_hits().repeated == 0);
    }
  }
}

}  // namespace weir::test
