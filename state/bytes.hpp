#pragma once

#include <bit>
#include <concepts>
#include <cstdint>
#include <cstring>
#include <limits>
#include <memory>
#include <stdexcept>
#include <string>
#include <string_view>
#include <type_traits>

namespace weir {

static_assert(std::endian::native == std::endian::little, "Weir's formats are little-endian");

/// Appends numbers and byte strings to a growing buffer, numbers little-endian unless said otherwise.
/// Threads: none of its own.
class ByteWriter {
 public:
  /// Appends to `out`, which must outlive the writer.
  explicit ByteWriter(std::string& out) : out_(out) {}

  /// A fixed-width number, `sizeof(T)` bytes, little-endian.
  template <class T>
    requires std::is_arithmetic_v<T>
  void number(T value) {
    char raw[sizeof(T)];
    std::memcpy(raw, &value, sizeof(T));
    out_.append(raw, sizeof(T));
  }
  /// A fixed-width number, most significant byte first, so that byte order is number order.
  template <std::unsigned_integral T>
  void big_endian(T value) {
    number(sizeof(T) == 1 ? value : swap_bytes(value));
  }
  /// A length (u32) and the bytes. Throws `std::length_error` from 4 GiB on, which no reader could tell apart from less.
  void string(std::string_view bytes) {
    if (bytes.size() > std::numeric_limits<std::uint32_t>::max()) [[unlikely]]
      throw std::length_error("a value of 4 GiB or more cannot be written");
    number(static_cast<std::uint32_t>(bytes.size()));
    out_.append(bytes);
  }
  /// The bytes alone.
  void raw(std::string_view bytes) { out_.append(bytes); }
  [[nodiscard]] std::size_t size() const { return out_.size(); }
  [[nodiscard]] std::string& buffer() { return out_; }

  template <std::unsigned_integral T>
  static constexpr T swap_bytes(T value) {
    if constexpr (sizeof(T) == 2)
      return __builtin_bswap16(value);
    else if constexpr (sizeof(T) == 4)
      return __builtin_bswap32(value);
    else if constexpr (sizeof(T) == 8)
      return __builtin_bswap64(value);
    else
      return value;
  }

 private:
  std::string& out_;
};

/// Reads what `ByteWriter` wrote. Every read checks the length first; after the first read past the
/// end the reader is `failed()`, and every later read yields zeroes, so one check at the end is enough.
/// Never allocates more than the bytes that are there.
class ByteReader {
 public:
  /// Reads from `bytes`, which must outlive the reader and what `raw` and `string` return.
  explicit ByteReader(std::string_view bytes) : bytes_(bytes) {}

  template <class T>
    requires std::is_arithmetic_v<T>
  T number() {
    T value{};
    if (bytes_.size() < sizeof(T)) {
      fail();
      return value;
    }
    std::memcpy(&value, bytes_.data(), sizeof(T));
    bytes_.remove_prefix(sizeof(T));
    return value;
  }
  template <std::unsigned_integral T>
  T big_endian() {
    return ByteWriter::swap_bytes(number<T>());
  }
  /// A view of a length-prefixed byte string.
  std::string_view string() { return raw(number<std::uint32_t>()); }
  /// A view of the next `size` bytes.
  std::string_view raw(std::size_t size) {
    if (bytes_.size() < size) {
      fail();
      return {};
    }
    const auto result = bytes_.substr(0, size);
    bytes_.remove_prefix(size);
    return result;
  }
  /// Everything that is left.
  std::string_view rest() { return raw(bytes_.size()); }
  void fail() {
    failed_ = true;
    bytes_ = {};
  }
  /// Counts one level of nesting; fails past 64, so that hostile bytes cannot exhaust the stack.
  /// Pair each call with `leave()`.
  void enter() {
    if (++depth_ > 64) fail();
  }
  void leave() { --depth_; }
  [[nodiscard]] bool failed() const { return failed_; }
  [[nodiscard]] std::size_t remaining() const { return bytes_.size(); }
  /// True if everything was read and nothing failed.
  [[nodiscard]] bool complete() const { return !failed_ && bytes_.empty(); }

 private:
  std::string_view bytes_;
  int depth_ = 0;
  bool failed_ = false;
};

/// Bytes that several owners read and nobody changes; a copy copies a pointer. Large payloads of
/// messages are such bytes, so that a local send copies nothing.
class SharedBytes {
 public:
  SharedBytes() = default;
  explicit SharedBytes(std::string bytes)
      : bytes_(std::make_shared<const std::string>(std::move(bytes))) {}
  [[nodiscard]] std::string_view view() const {
    return bytes_ ? std::string_view(*bytes_) : std::string_view();
  }
  [[nodiscard]] std::size_t size() const { return bytes_ ? bytes_->size() : 0; }
  bool operator==(const SharedBytes& other) const { return view() == other.view(); }

 private:
  std::shared_ptr<const std::string> bytes_;
};

}  // namespace weir
