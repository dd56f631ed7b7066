#include "runtime/caught_calls.hpp"

#include <chrono>
#include <cstdint>
#include <cstdlib>
#include <ctime>
#include <functional>
#include <pthread.h>
#include <random>
#include <string>
#include <sys/random.h>
#include <sys/time.h>
#include <thread>
#include <unistd.h>
#include <utility>
#include <vector>

#include <catch2/catch.hpp>

#include "runtime/crash_reporter.hpp"
#include "test/sanitized.hpp"

namespace weir::test {
namespace {

using Calls = std::vector<std::pair<CaughtCall, std::string>>;

/// Hears of calls while it lives.
class Listener {
 public:
  Listener() {
    catch_calls([this](CaughtCall call, std::string_view function) {
      calls_.emplace_back(call, std::string(function));
    });
  }
  ~Listener() { catch_calls({}); }
  Listener(const Listener&) = delete;
  Listener& operator=(const Listener&) = delete;
  /// Those since the last time.
  Calls take() { return std::exchange(calls_, {}); }

 private:
  Calls calls_;
};

struct Case {
  std::string name;
  CaughtCall kind;
  std::function<bool()> call;  ///< whether it did what it is to do
};

void* answer(void* argument) { return argument; }

std::vector<Case> cases() {
  using enum CaughtCall;
  return {
      {"clock_gettime", clock,
       [] {
         timespec now{};
         return ::clock_gettime(CLOCK_REALTIME, &now) == 0 && now.tv_sec > 0;
       }},
      {"gettimeofday", clock,
       [] {
         timeval now{};
         return ::gettimeofday(&now, nullptr) == 0 && now.tv_sec > 0;
       }},
      {"time", clock,
       [] {
         time_t into = 0;
         const time_t now = ::time(&into);
         return now > 0 && now == into;
       }},
      {"rand", random,
       [] {
         std::srand(5);
         const int first = std::rand();
         std::srand(5);
         return std::rand() == first;
       }},
      {"random", random,
       [] {
         ::srandom(5);
         const long first = ::random();
         ::srandom(5);
         return ::random() == first;
       }},
      {"drand48", random,
       [] {
         ::srand48(5);
         const double first = ::drand48();
         ::srand48(5);
         return ::drand48() == first && first >= 0 && first < 1;
       }},
      {"getrandom", random,
       [] {
         std::uint64_t drawn[2] = {};
         return ::getrandom(drawn, sizeof drawn, 0) == sizeof drawn && (drawn[0] | drawn[1]) != 0;
       }},
      {"getentropy", random,
       [] {
         std::uint64_t drawn[2] = {};
         return ::getentropy(drawn, sizeof drawn) == 0 && (drawn[0] | drawn[1]) != 0;
       }},
      {"std::random_device", random,
       [] {
         std::random_device device;
         unsigned all = 0;
         for (int i = 0; i < 8; ++i) all |= device();
         return all != 0;
       }},
      {"pthread_create", thread,
       [] {
         pthread_t thread{};
         void* returned = nullptr;
         return ::pthread_create(&thread, nullptr, answer, &thread) == 0 &&
                ::pthread_join(thread, &returned) == 0 && returned == &thread;
       }},
  };
}

}  // namespace

TEST_CASE("calls that make a job depend on more than its input are heard within its code, and work",
          "[runtime]") {
  if (sanitized) return;  // they have functions of these names themselves
  Listener listener;
  for (const Case& one : cases()) {
    INFO(one.name);
    bool works = false;
    {
      const UserCode code;
      works = one.call();
    }
    CHECK(works);
    const Calls heard = listener.take();
    REQUIRE_FALSE(heard.empty());
    // A random device may ask another of these functions in turn.
    for (const auto& [kind, name] : heard) CHECK(kind == one.kind);
    CHECK(heard.front().second == one.name);
  }
}

TEST_CASE("the same calls outside of code of a job are not heard", "[runtime]") {
  Listener listener;
  for (const Case& one : cases()) {
    INFO(one.name);
    CHECK(one.call());
    CHECK(listener.take().empty());
  }
  // Nor on other threads, while one runs code of a job.
  {
    std::thread other;
    {
      other = std::thread([] { (void)std::rand(); });
      const UserCode code;
    }
    other.join();
  }
  CHECK(listener.take().empty());
}

TEST_CASE("the library's own ways to the clock, random numbers and threads are heard as well",
          "[runtime]") {
  if (sanitized) return;
  Listener listener;
  const auto heard = [&](const std::function<void()>& call) {
    {
      const UserCode code;
      call();
    }
    const Calls calls = listener.take();
    REQUIRE_FALSE(calls.empty());
    return calls.front();
  };
  CHECK(heard([] { (void)std::chrono::system_clock::now(); }) ==
        std::pair(CaughtCall::clock, std::string("clock_gettime")));
  CHECK(heard([] { (void)std::chrono::steady_clock::now(); }) ==
        std::pair(CaughtCall::clock, std::string("clock_gettime")));
  CHECK(heard([] { std::thread([] {}).join(); }) ==
        std::pair(CaughtCall::thread, std::string("pthread_create")));
}

TEST_CASE("nobody hears what nobody listens to", "[runtime]") {
  std::size_t heard = 0;
  catch_calls([&](CaughtCall, std::string_view) { ++heard; });
  catch_calls({});
  const UserCode code;
  for (const Case& one : cases()) {
    INFO(one.name);
    CHECK(one.call());
  }
  CHECK(heard == 0);
}

TEST_CASE("what works for the job is not heard, and the job is again behind it", "[runtime]") {
  if (sanitized) return;
  Listener listener;
  const UserCode code;
  {
    const UnheardCalls outer;
    {
      const UnheardCalls inner;
    }
    (void)std::rand();
  }
  CHECK(listener.take().empty());
  (void)std::rand();
  CHECK(listener.take() == Calls{{CaughtCall::random, "rand"}});
}

TEST_CASE("who hears of a call may make one without hearing of it", "[runtime]") {
  if (sanitized) return;
  std::size_t heard = 0;
  catch_calls([&](CaughtCall, std::string_view) {
    ++heard;
    (void)std::rand();
  });
  {
    const UserCode code;
    (void)std::rand();
    (void)std::rand();
  }
  catch_calls({});
  CHECK(heard == 2);
}

}  // namespace weir::test
