#include "storage/standard_streams.hpp"

#include <algorithm>
#include <array>
#include <fcntl.h>
#include <semaphore>
#include <string>
#include <thread>
#include <unistd.h>

#include <catch2/catch.hpp>

namespace weir {
namespace {

/// A pipe between the test and the streams.
class Pipe {
 public:
  Pipe() { REQUIRE(::pipe2(ends_.data(), O_CLOEXEC) == 0); }
  ~Pipe() {
    close_reader();
    close_writer();
  }
  Pipe(const Pipe&) = delete;
  Pipe& operator=(const Pipe&) = delete;
  [[nodiscard]] int reader() const { return ends_[0]; }
  [[nodiscard]] int writer() const { return ends_[1]; }
  void write(const std::string& text) {
    REQUIRE(::write(writer(), text.data(), text.size()) == static_cast<ssize_t>(text.size()));
  }
  void close_reader() { close(ends_[0]); }
  void close_writer() { close(ends_[1]); }

 private:
  static void close(int& end) {
    if (end >= 0) ::close(end);
    end = -1;
  }
  std::array<int, 2> ends_{-1, -1};
};

SCENARIO("standard input is read ahead without anybody waiting for it", "[storage]") {
  GIVEN("a feed of a pipe") {
    Pipe pipe;
    ProcessStreams streams(pipe.reader(), -1);
    std::counting_semaphore<> arrivals(0);
    auto feed = streams.read_input([&] { arrivals.release(); });
    REQUIRE(feed);
    std::string taken;
    const auto take = [&] {
      auto open = (*feed)->take(taken);
      if (!open) FAIL(open.error().what);
      return *open;
    };
    WHEN("nothing has arrived") {
      THEN("there is nothing to take, and it may be destroyed") {
        CHECK(take());
        CHECK(taken.empty());
      }
    }
    WHEN("something arrives") {
      pipe.write("one\n");
      arrivals.acquire();
      THEN("it is there when the feed says so, and is taken once") {
        CHECK(take());
        CHECK(take());
        CHECK(taken == "one\n");
        AND_THEN("the feed tells of the end too") {
          pipe.close_writer();
          arrivals.acquire();
          CHECK_FALSE(take());
          CHECK(taken == "one\n");
        }
      }
    }
    WHEN("more arrives than the feed holds") {
      const std::size_t size = 5 * ProcessStreams::read_ahead_bytes;
      std::string sent(size, '.');
      for (std::size_t i = 0; i < size; i += 7) sent[i] = static_cast<char>('a' + i / 7 % 26);
      std::thread writer([&] {
        for (std::size_t at = 0; at < size;) {
          const auto count = ::write(pipe.writer(), sent.data() + at, size - at);
          if (count <= 0) break;
          at += static_cast<std::size_t>(count);
        }
        pipe.close_writer();
      });
      std::size_t largest = 0;
      for (bool open = true; open;) {
        const std::size_t before = taken.size();
        open = take();
        largest = std::max(largest, taken.size() - before);
        if (open && taken.size() == before) arrivals.acquire();
      }
      writer.join();
      THEN("all of it comes, in bounded pieces") {
        CHECK(taken == sent);
        CHECK(largest <= ProcessStreams::read_ahead_bytes);
      }
    }
    WHEN("a second reader wants it") {
      const auto second = streams.read_input([] {});
      THEN("it is refused") {
        REQUIRE_FALSE(second);
        CHECK(second.error().code == Errc::already_exists);
      }
    }
  }
  GIVEN("a descriptor that cannot be read") {
    Pipe pipe;
    ProcessStreams streams(pipe.writer(), -1);
    std::binary_semaphore arrival(0);
    const auto feed = streams.read_input([&] { arrival.release(); });
    REQUIRE(feed);
    pipe.close_reader();  // makes the writing end ready
    arrival.acquire();
    THEN("taking says so") {
      std::string taken;
      const auto open = (*feed)->take(taken);
      REQUIRE_FALSE(open);
      CHECK(open.error().code == Errc::io_error);
    }
  }
}

SCENARIO("printed pieces stay whole", "[storage]") {
  GIVEN("streams that print on a pipe") {
    Pipe pipe;
    ProcessStreams streams(-1, pipe.writer());
    WHEN("two threads print pieces larger than the pipe") {
      const std::string one(300'000, '1');
      const std::string two(300'000, '2');
      Status first_printed;
      Status second_printed;
      std::thread first([&] { first_printed = streams.print(one); });
      std::thread second([&] { second_printed = streams.print(two); });
      std::string received;
      std::array<char, 4096> chunk{};
      while (received.size() < one.size() + two.size()) {
        const auto count = ::read(pipe.reader(), chunk.data(), chunk.size());
        REQUIRE(count > 0);
        received.append(chunk.data(), static_cast<std::size_t>(count));
      }
      first.join();
      second.join();
      THEN("one comes behind the other") {
        CHECK(first_printed);
        CHECK(second_printed);
        const bool in_order = received == one + two || received == two + one;
        CHECK(in_order);
      }
    }
  }
  GIVEN("a descriptor that cannot be written") {
    Pipe pipe;
    ProcessStreams streams(-1, pipe.reader());
    const Status printed = streams.print("text");
    THEN("printing says so") {
      REQUIRE_FALSE(printed);
      CHECK(printed.error().code == Errc::io_error);
    }
  }
}

}  // namespace
}  // namespace weir
