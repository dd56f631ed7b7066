#include "connectors/standard_input_source.hpp"

#include <catch2/catch.hpp>

#include "test/connectors/memory_file_system.hpp"
#include "test/connectors/operator_harness.hpp"

namespace weir {
namespace {

using Lines = std::vector<std::string>;

SCENARIO("lines of standard input are emitted as they arrive", "[connectors]") {
  GIVEN("a source at parallelism 1") {
    MemoryFileSystem files;
    Surroundings around;
    FakeContext context(files, around, "source", 0, 1);
    StandardInputSource source;
    REQUIRE(source.open(context));
    WHEN("nothing has arrived") {
      THEN("it does not wait") { CHECK(source.poll() == PollResult::nothing_now); }
    }
    WHEN("a line arrives in pieces") {
      around.streams.arrivals = {"one\ntw", "o\n", "thr"};
      THEN("it comes when it is whole") {
        CHECK(source.poll() == PollResult::nothing_now);
        CHECK(take_output<std::string>(source) == Lines{"one", "two"});
        around.streams.arrivals = {"ee"};
        around.streams.ended = true;
        CHECK(source.poll() == PollResult::end);
        CHECK(take_output<std::string>(source) == Lines{"three"});
      }
    }
    WHEN("the end comes after a last line without newline") {
      around.streams.arrivals = {"last"};
      CHECK(source.poll() == PollResult::nothing_now);
      CHECK(take_output<std::string>(source).empty());
      around.streams.ended = true;
      THEN("it is a line") {
        CHECK(source.poll() == PollResult::end);
        CHECK(take_output<std::string>(source) == Lines{"last"});
      }
    }
    WHEN("the input ends with a newline") {
      around.streams.arrivals = {"\n\nlast\n"};
      around.streams.ended = true;
      THEN("nothing follows it") {
        CHECK(source.poll() == PollResult::end);
        CHECK(take_output<std::string>(source) == Lines{"", "", "last"});
      }
    }
    WHEN("the input is empty") {
      around.streams.ended = true;
      THEN("there is no line") {
        CHECK(source.poll() == PollResult::end);
        CHECK(take_output<std::string>(source).empty());
      }
    }
    WHEN("more than a batch arrives") {
      std::string text;
      for (int i = 0; i < 1500; ++i) text += "line\n";
      around.streams.arrivals = {text};
      THEN("it comes a batch at a time") {
        CHECK(source.poll() == PollResult::more);
        CHECK(take_output<std::string>(source).size() == batch_capacity_records);
        CHECK(source.poll() == PollResult::nothing_now);
        CHECK(take_output<std::string>(source).size() == 1500 - batch_capacity_records);
      }
    }
    WHEN("it cannot be read") {
      around.streams.broken = true;
      THEN("the task fails with that") {
        CHECK(thrown_by([&] { (void)source.poll(); }) == Error{Errc::io_error, "cannot read"});
      }
    }
    WHEN("a second source wants it") {
      StandardInputSource second;
      const Status opened = second.open(context);
      THEN("it is refused") {
        REQUIRE_FALSE(opened);
        CHECK(opened.error().code == Errc::already_exists);
      }
    }
  }
}

SCENARIO("lines of standard input keep to their rate", "[connectors]") {
  GIVEN("three lines at 10 a second") {
    MemoryFileSystem files;
    Surroundings around;
    FakeContext context(files, around, "source", 0, 1);
    StandardInputSource source(10);
    REQUIRE(source.open(context));
    around.streams.arrivals = {"1\n2\n3\n"};
    THEN("they come a tenth of a second apart") {
      CHECK(source.poll() == PollResult::more);
      CHECK(take_output<std::string>(source) == Lines{"1"});
      CHECK(source.poll() == PollResult::nothing_now);
      CHECK(take_output<std::string>(source).empty());
      REQUIRE(context.wake_times.size() == 1);
      around.clock.time = context.wake_times.back();
      CHECK(source.poll() == PollResult::more);
      CHECK(take_output<std::string>(source) == Lines{"2"});
    }
  }
}

SCENARIO("standard input refuses what it cannot do", "[connectors]") {
  MemoryFileSystem files;
  Surroundings around;
  GIVEN("a restored job") {
    FakeContext context(files, around, "source", 0, 1);
    context.restored = true;
    StandardInputSource source;
    const Status opened = source.open(context);
    THEN("it does not begin to read") {
      REQUIRE_FALSE(opened);
      CHECK(opened.error() ==
            Error{Errc::invalid_argument,
                  "standard input cannot be read again from a snapshot; give a file with --input"});
      CHECK_FALSE(around.streams.taken);
    }
  }
  GIVEN("two subtasks") {
    FakeContext context(files, around, "source", 1, 2);
    StandardInputSource source;
    const Status opened = source.open(context);
    THEN("it is refused") {
      REQUIRE_FALSE(opened);
      CHECK(opened.error().code == Errc::invalid_argument);
    }
  }
  GIVEN("a limit of 5 bytes for a line") {
    FakeContext context(files, around, "source", 0, 1);
    StandardInputSource source(std::nullopt, 5);
    REQUIRE(source.open(context));
    around.streams.arrivals = {"12345\n", "123456"};
    const Error failure = thrown_by([&] { (void)source.poll(); });
    THEN("a longer one fails the task before it is whole") {
      CHECK(failure ==
            Error{Errc::limit_exceeded, "standard input: line 2 is longer than 5 bytes"});
    }
  }
}

}  // namespace
}  // namespace weir
