#include "storage/standard_streams.hpp"

#include <algorithm>
#include <array>
#include <cerrno>
#include <condition_variable>
#include <fcntl.h>
#include <optional>
#include <poll.h>
#include <system_error>
#include <thread>
#include <unistd.h>
#include <utility>

namespace weir {
namespace {

constexpr std::size_t read_bytes = 64 << 10;

std::unexpected<Error> failure(int number, const std::string& action) {
  return error(Errc::io_error, action + ": " + std::generic_category().message(number));
}

/// Reads one descriptor ahead.
class ReadAhead final : public ByteFeed {
 public:
  /// Takes over `stop_reader` and `stop_writer`, the two ends of a pipe.
  ReadAhead(int input, int stop_reader, int stop_writer, std::function<void()> on_arrival)
      : input_(input),
        stop_reader_(stop_reader),
        stop_writer_(stop_writer),
        on_arrival_(std::move(on_arrival)),
        thread_([this] { run(); }) {}

  ~ReadAhead() override {
    {
      const std::scoped_lock lock(mutex_);
      stopped_ = true;
    }
    room_.notify_one();
    ::close(stop_writer_);  // the other end becomes readable
    thread_.join();
    ::close(stop_reader_);
  }

  Result<bool> take(std::string& into) override {
    const std::scoped_lock lock(mutex_);
    if (failure_) return std::unexpected(*failure_);
    hungry_ = buffer_.empty();
    into += buffer_;
    buffer_.clear();
    room_.notify_one();
    return !ended_;
  }

 private:
  void run() {
    std::array<char, read_bytes> chunk;
    while (wait_for_room() && wait_for_input()) {
      const ssize_t count = ::read(input_, chunk.data(), chunk.size());
      if (count < 0 && (errno == EINTR || errno == EAGAIN)) continue;
      const int number = errno;
      const std::scoped_lock lock(mutex_);
      if (count < 0) failure_ = failure(number, "cannot read standard input").error();
      if (count > 0) buffer_.append(chunk.data(), static_cast<std::size_t>(count));
      ended_ = count <= 0;
      // Under the lock, so that the destructor has not returned meanwhile.
      if (std::exchange(hungry_, false)) on_arrival_();
      if (ended_) return;
    }
  }
  /// False once the feed is being destroyed.
  bool wait_for_room() {
    std::unique_lock lock(mutex_);
    room_.wait(lock, [this] {
      return stopped_ || buffer_.size() + read_bytes <= ProcessStreams::read_ahead_bytes;
    });
    return !stopped_;
  }
  /// False once the feed is being destroyed. Otherwise a `read` does not wait.
  bool wait_for_input() {
    std::array<::pollfd, 2> watched{{{input_, POLLIN, 0}, {stop_reader_, POLLIN, 0}}};
    while (::poll(watched.data(), watched.size(), -1) < 0 && errno == EINTR) {
    }
    return watched[1].revents == 0;
  }

  const int input_;
  const int stop_reader_;
  const int stop_writer_;
  const std::function<void()> on_arrival_;
  std::mutex mutex_;  ///< guards the next five
  std::string buffer_;
  std::optional<Error> failure_;
  bool ended_ = false;
  bool hungry_ = true;  ///< the last `take` found nothing: tell it of the next arrival
  bool stopped_ = false;
  std::condition_variable room_;
  std::thread thread_;  ///< last: it uses all of the above
};

}  // namespace

Status ProcessStreams::print(std::string_view text) {
  const std::scoped_lock lock(printing_);
  while (!text.empty()) {
    const ssize_t written = ::write(output_, text.data(), text.size());
    if (written >= 0) {
      text.remove_prefix(static_cast<std::size_t>(written));
    } else if (errno == EAGAIN) {
      // Somebody who shares the terminal made it non-blocking.
      ::pollfd watched{output_, POLLOUT, 0};
      ::poll(&watched, 1, -1);
    } else if (errno != EINTR) {
      return failure(errno, "cannot print on standard " +
                                std::string(output_ == STDERR_FILENO ? "error" : "output"));
    }
  }
  return {};
}

Result<std::unique_ptr<ByteFeed>> ProcessStreams::read_input(std::function<void()> on_arrival) {
  if (input_taken_.exchange(true))
    return error(Errc::already_exists,
                 "standard input was read before and cannot be read again; give a file");
  std::array<int, 2> stop{};
  if (::pipe2(stop.data(), O_CLOEXEC) != 0)
    return failure(errno, "cannot begin to read standard input");
  return std::make_unique<ReadAhead>(input_, stop[0], stop[1], std::move(on_arrival));
}

}  // namespace weir
