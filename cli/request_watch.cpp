#include "cli/request_watch.hpp"

#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <optional>
#include <utility>

#include "cli/progress_line.hpp"
#include "cli/surroundings.hpp"

namespace weir {
namespace {

using namespace std::chrono_literals;

constexpr auto tick = 200ms;
/// What an answer that was sent before the other side ended may take to be handled here.
constexpr auto grace = 2s;

}  // namespace

RequestWatch::RequestWatch(Request request, bool on_terminal, const Clock& clock)
    : request_(std::move(request)),
      on_terminal_(on_terminal),
      clock_(clock),
      thread_([this] { run(); }) {}

RequestWatch::~RequestWatch() {
  {
    const std::scoped_lock lock(mutex_);
    done_ = true;
  }
  changed_.notify_all();
  thread_.join();
}

void RequestWatch::run() {
  ProgressLine line(
      request_.what, clock_.now(),
      [](const std::string& text) {
        std::fputs(text.c_str(), stderr);
        std::fflush(stderr);
      },
      terminal_size);
  std::optional<MonotonicTime> gone_since;
  std::unique_lock lock(mutex_);
  while (!changed_.wait_for(lock, tick, [this] { return done_; })) {
    lock.unlock();
    const MonotonicTime now = clock_.now();
    if (!request_.is_gone())
      gone_since.reset();
    else if (!gone_since)
      gone_since = now;
    if (gone_since && now - *gone_since > grace) {
      line.clear();
      report({Errc::unavailable,
              "the process of the job has ended before it answered; its log says "
              "why, and whether the request was carried out"},
             failure_exit_code);
      std::_Exit(failure_exit_code);
    }
    if (on_terminal_ && line.is_due(now))
      line.show(request_.snapshots && !gone_since ? request_.snapshots()
                                                  : std::vector<CheckpointProgress>{},
                now);
    lock.lock();
  }
  line.clear();
}

}  // namespace weir
