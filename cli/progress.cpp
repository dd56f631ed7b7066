#include "cli/progress.hpp"

#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <utility>

#include "cli/surroundings.hpp"

namespace weir {
namespace {

using namespace std::chrono_literals;

constexpr auto tick = 200ms;
constexpr auto shown_after = 1s;
/// Ticks that an answer which was sent before the other side ended may take to be handled here.
constexpr int ticks_of_grace = 10;
constexpr const char* erase_line = "\r\033[K";

}  // namespace

Progress::Progress(std::string what, bool on_terminal, std::function<bool()> is_gone)
    : what_(std::move(what)),
      on_terminal_(on_terminal),
      is_gone_(std::move(is_gone)),
      thread_([this] { run(); }) {}

Progress::~Progress() {
  {
    const std::scoped_lock lock(mutex_);
    done_ = true;
  }
  changed_.notify_all();
  thread_.join();
}

void Progress::run() {
  int ticks = 0;
  int ticks_gone = 0;
  bool shown = false;
  std::unique_lock lock(mutex_);
  while (!changed_.wait_for(lock, tick, [this] { return done_; })) {
    ++ticks;
    ticks_gone = is_gone_() ? ticks_gone + 1 : 0;
    if (ticks_gone > ticks_of_grace) {
      if (shown) std::fputs(erase_line, stderr);
      report({Errc::unavailable,
              "the process of the job has ended before it answered; its log says "
              "why, and whether the request was carried out"},
             failure_exit_code);
      std::_Exit(failure_exit_code);
    }
    if (!on_terminal_ || ticks * tick < shown_after) continue;
    std::fprintf(stderr, "\r%s ... %lld s\033[K", what_.c_str(),
                 static_cast<long long>(ticks * tick / 1s));
    std::fflush(stderr);
    shown = true;
  }
  if (shown) std::fputs(erase_line, stderr);
}

}  // namespace weir
