#include "connectors/line_splitter.hpp"

#include <algorithm>
#include <utility>

namespace weir {
namespace {

/// How much is read at first beyond the end of a split, for the rest of its last line.
constexpr std::size_t tail_bytes = 16 << 10;

}  // namespace

Result<std::unique_ptr<LineSplitter>> LineSplitter::open(FileSystem& files, const FileSplit& split,
                                                         LineLimits limits) {
  WEIR_ASSERT(split.begin <= split.end && split.begin <= split.position && limits.chunk_bytes >= 1);
  auto opened = files.open(split.path);
  // It was there when the splits were made, and without it the job has no way to go on.
  if (!opened &&
      (opened.error().code == Errc::not_found || opened.error().code == Errc::unsupported))
    return error(Errc::state_incompatible,
                 "input " + split.path +
                     " is not there any more, and the job has not read all of it: " +
                     opened.error().what + "; put it back, then go on with -s latest");
  if (!opened) return std::unexpected(opened.error());
  std::unique_ptr<InputFile> file = std::move(*opened);
  WEIR_TRY_ASSIGN(const size, file->size());
  std::unique_ptr<LineSplitter> splitter(new LineSplitter(split, limits, std::move(file)));
  const std::uint64_t known = std::max(split.end, split.position);
  if (size < known) {
    return splitter->changed("it has " + std::to_string(size) + " bytes and had at least " +
                             std::to_string(known));
  }
  return splitter;
}

Result<std::optional<std::string_view>> LineSplitter::next_slowly() {
  if (!started_) WEIR_TRY(start());
  if (position_ >= split_.end) return std::nullopt;
  std::size_t searched = 0;  // bytes of the line that are known to hold no newline
  for (;;) {
    const char* begin = buffer_.data() + line_;
    const std::size_t held = filled_ - line_;
    const void* newline = std::memchr(begin + searched, '\n', held - searched);
    const std::size_t length =
        newline == nullptr ? held
                           : static_cast<std::size_t>(static_cast<const char*>(newline) - begin);
    if (length > limits_.max_line_bytes) {
      return error(Errc::limit_exceeded, split_.path + ": the line at byte " +
                                             std::to_string(position_) + " is longer than " +
                                             std::to_string(limits_.max_line_bytes) + " bytes");
    }
    if (newline != nullptr) return take_line(length, 1);
    searched = held;
    WEIR_TRY_ASSIGN(const more, read_more());
    if (more > 0) continue;
    if (position_ + held < split_.end)
      return changed("it ends at byte " + std::to_string(position_ + held));
    return take_line(held, 0);
  }
}

Status LineSplitter::start() {
  started_ = true;
  buffer_.resize(limits_.chunk_bytes);
  if (position_ == 0 || position_ >= split_.end) return {};
  // The byte before decides whether a line begins at `position`.
  const bool restored = position_ > split_.begin;
  --position_;
  for (;;) {
    WEIR_TRY_ASSIGN(const more, read_more());
    if (more == 0) return changed("it ends at byte " + std::to_string(position_));
    const void* newline = std::memchr(buffer_.data(), '\n', filled_);
    if (restored && newline != buffer_.data())
      return changed("no line begins at byte " + std::to_string(position_ + 1));
    line_ = newline == nullptr
                ? filled_
                : static_cast<std::size_t>(static_cast<const char*>(newline) - buffer_.data()) + 1;
    position_ += line_;
    if (newline != nullptr || position_ >= split_.end) return {};
  }
}

Result<std::size_t> LineSplitter::read_more() {
  std::memmove(buffer_.data(), buffer_.data() + line_, filled_ - line_);
  filled_ -= line_;
  line_ = 0;
  const std::uint64_t offset = position_ + filled_;
  // Beyond the end only the rest of one line is wanted: little at first, more the longer it is.
  const std::uint64_t within = offset < split_.end ? split_.end - offset : 0;
  const auto wanted = static_cast<std::size_t>(std::min<std::uint64_t>(
      limits_.chunk_bytes, within + std::max<std::uint64_t>(tail_bytes, filled_)));
  if (buffer_.size() < filled_ + wanted) buffer_.resize(std::max(2 * filled_, filled_ + wanted));
  WEIR_TRY_ASSIGN(const count, file_->read_at(offset, buffer_.data() + filled_, wanted));
  filled_ += count;
  return count;
}

std::unexpected<Error> LineSplitter::changed(std::string_view how) const {
  return error(Errc::corruption,
               split_.path + " was changed since the job began to read it: " + std::string(how) +
                   "; put the old content back or start without a snapshot");
}

}  // namespace weir
