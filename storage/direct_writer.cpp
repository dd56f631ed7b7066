#include "storage/direct_writer.hpp"

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <fcntl.h>
#include <system_error>
#include <unistd.h>
#include <utility>

namespace weir {
namespace {

bool set_direct(int descriptor, int flag) {
  const int flags = ::fcntl(descriptor, F_GETFL);
  return flags >= 0 && ::fcntl(descriptor, F_SETFL, (flags & ~O_DIRECT) | flag) == 0;
}

}  // namespace

std::unique_ptr<DirectWriter> DirectWriter::begin(int descriptor, std::uint64_t offset) {
  const auto make = [] {
    return Block(static_cast<char*>(std::aligned_alloc(alignment, block_bytes)), &std::free);
  };
  std::array<Block, 2> blocks{make(), make()};
  if (!blocks[0] || !blocks[1] || !set_direct(descriptor, O_DIRECT)) return nullptr;
  std::unique_ptr<DirectWriter> writer(new DirectWriter(descriptor, offset, std::move(blocks)));
  try {
    writer->thread_ = std::thread([raw = writer.get()] { raw->write_blocks(); });
  } catch (const std::system_error&) {
    (void)set_direct(descriptor, 0);
    return nullptr;
  }
  return writer;
}

DirectWriter::DirectWriter(int descriptor, std::uint64_t offset, std::array<Block, 2> blocks)
    : descriptor_(descriptor), offset_(offset), blocks_(std::move(blocks)) {}

DirectWriter::~DirectWriter() {
  if (!thread_.joinable()) return;
  {
    const std::lock_guard lock(mutex_);
    ending_ = true;
  }
  changed_.notify_all();
  thread_.join();
}

int DirectWriter::append(std::string_view bytes) {
  while (!bytes.empty()) {
    const std::size_t part = std::min(bytes.size(), block_bytes - filled_);
    std::memcpy(blocks_[filling_].get() + filled_, bytes.data(), part);
    bytes.remove_prefix(part);
    filled_ += part;
    if (filled_ < block_bytes) return 0;
    if (const int failed = hand_over(); failed != 0) return failed;
  }
  return 0;
}

int DirectWriter::hand_over() {
  std::unique_lock lock(mutex_);
  changed_.wait(lock, [this] { return waiting_ == nullptr; });
  if (failure_ != 0) return failure_;
  waiting_ = blocks_[filling_].get();
  lock.unlock();
  changed_.notify_all();
  filling_ = 1 - filling_;
  filled_ = 0;
  return 0;
}

int DirectWriter::finish() {
  {
    std::unique_lock lock(mutex_);
    changed_.wait(lock, [this] { return waiting_ == nullptr; });
    ending_ = true;
  }
  changed_.notify_all();
  thread_.join();
  (void)set_direct(descriptor_, 0);
  return failure_;
}

void DirectWriter::write_blocks() {
  std::unique_lock lock(mutex_);
  for (;;) {
    changed_.wait(lock, [this] { return ending_ || waiting_ != nullptr; });
    if (ending_) return;
    const std::string_view block(waiting_, block_bytes);
    lock.unlock();
    const int failed = write(block);
    lock.lock();
    failure_ = failed;
    waiting_ = nullptr;
    changed_.notify_all();
  }
}

int DirectWriter::write(std::string_view bytes) {
  while (!bytes.empty()) {
    const auto written =
        ::pwrite(descriptor_, bytes.data(), bytes.size(), static_cast<off_t>(offset_));
    if (written < 0 && errno == EINTR) continue;
    if (written < 0 && errno == EINVAL) {
      // The device wants another alignment, or the last write was cut short.
      const int flags = ::fcntl(descriptor_, F_GETFL);
      if (flags < 0 || (flags & O_DIRECT) == 0 || !set_direct(descriptor_, 0)) return EINVAL;
      continue;
    }
    if (written <= 0) return written < 0 ? errno : EIO;
    offset_ += static_cast<std::uint64_t>(written);
    bytes.remove_prefix(static_cast<std::size_t>(written));
  }
  return 0;
}

}  // namespace weir
