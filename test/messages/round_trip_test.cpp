#include <atomic>
#include <cstdlib>
#include <new>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include <caf/all.hpp>
#include <catch2/catch.hpp>

#include "messages/interfaces.hpp"
#include "test/messages/filled.hpp"

namespace {

/// The largest piece of memory that was asked for since it was last set to 0.
std::atomic<std::size_t> largest_allocation{0};

void* allocate(std::size_t size) {
  std::size_t largest = largest_allocation.load();
  while (size > largest && !largest_allocation.compare_exchange_weak(largest, size)) {
  }
  if (void* const memory = std::malloc(size == 0 ? 1 : size)) return memory;
  throw std::bad_alloc();
}

}  // namespace

// GCC 12 sees through one half of these at -O1 and takes them for a mismatched pair.
#pragma GCC diagnostic ignored "-Wmismatched-new-delete"
void* operator new(std::size_t size) { return allocate(size); }
void* operator new[](std::size_t size) { return allocate(size); }
void* operator new(std::size_t size, const std::nothrow_t&) noexcept {
  try {
    return allocate(size);
  } catch (const std::bad_alloc&) {
    return nullptr;
  }
}
void operator delete(void* memory) noexcept { std::free(memory); }
void operator delete[](void* memory) noexcept { std::free(memory); }
void operator delete(void* memory, std::size_t) noexcept { std::free(memory); }
void operator delete[](void* memory, std::size_t) noexcept { std::free(memory); }

namespace weir::test {
namespace {

/// What a decoder may allocate at once for bytes of this size, damaged or not: values are wider than
/// their encoding, and a vector grows by doubling.
std::size_t allowed_allocation(std::size_t blob_bytes) { return 64 * blob_bytes + 4096; }

/// What CAF sends for an envelope.
template <class M>
std::string sent(Envelope<M> envelope) {
  std::vector<char> bytes;
  caf::binary_serializer sink(nullptr, bytes);
  if (sink(envelope)) return {};
  // CAF writes the blob as its length and its bytes; here the blob alone is wanted.
  std::string blob;
  caf::binary_deserializer source(nullptr, bytes);
  if (source(blob)) return {};
  return blob;
}

/// Takes a blob in as CAF does when it has come from another process.
template <class M>
caf::error receive(std::string blob, Envelope<M>& envelope) {
  std::vector<char> bytes;
  caf::binary_serializer sink(nullptr, bytes);
  if (auto failed = sink(blob)) return failed;
  caf::binary_deserializer source(nullptr, bytes);
  return source(envelope);
}
template <class M>
caf::error receive(const std::string& blob) {
  Envelope<M> envelope;
  return receive(blob, envelope);
}

/// The first thing that is wrong with how a message with these contents travels; empty if nothing is.
template <class M>
std::string fault_of(const M& message) {
  const Envelope<M> envelope{
      {EndpointKind::task, 11, 12}, {EndpointKind::task_manager, 13, 14}, message};
  const std::string blob = sent(envelope);
  if (blob.empty()) return "it cannot be encoded";

  Envelope<M> back;
  if (receive(blob, back)) return "what was encoded cannot be decoded";
  if (back.from != envelope.from || back.to != envelope.to)
    return "the endpoints come back changed";
  if (!alike(back.message, message)) return "it comes back changed";
  if (sent(back) != blob) return "what came back is encoded in another way";

  largest_allocation = 0;
  for (std::size_t length = 0; length < blob.size(); ++length)
    if (!receive<M>(blob.substr(0, length)))
      return "its first " + std::to_string(length) + " bytes are taken for a message";
  if (!receive<M>(blob + '\0')) return "a byte too much is taken";
  for (const int step : {-1, 1, 256}) {
    std::string other = blob;
    const auto version = static_cast<std::uint16_t>(message_version + step);
    std::memcpy(other.data(), &version, sizeof version);
    if (receive<M>(other) != caf::sec::incompatible_versions)
      return "version " + std::to_string(version) + " is not refused";
  }
  // Wherever a length stands, it is made enormous; whether the bytes then decode depends on what
  // stood there, but nothing is allocated on their word.
  for (std::size_t at = sizeof message_version; at + 4 <= blob.size(); ++at) {
    std::string other = blob;
    other.replace(at, 4, "\xff\xff\xff\x7f");
    (void)receive<M>(other);
  }
  if (largest_allocation > allowed_allocation(blob.size()))
    return "damaged bytes make it allocate " + std::to_string(largest_allocation) + " bytes for " +
           std::to_string(blob.size());
  return {};
}

/// The same for a message of type `M` in which every member is set.
template <class M>
std::string fault(TypeTag<M>) {
  Filler filler;
  M message{};
  filler.fill(message);
  std::vector<std::string> gaps;
  find_gaps(message, "message", gaps);
  if (!gaps.empty()) return gaps.front();
  return fault_of(message);
}
template <class T>
std::string fault(TypeTag<Reply<T>>) {
  Filler filler;
  T value{};
  filler.fill(value);
  std::vector<std::string> gaps;
  find_gaps(value, "reply", gaps);
  if (!gaps.empty()) return gaps.front();
  Error error;
  filler.fill(error);
  if (auto wrong = fault_of(Reply<T>(value)); !wrong.empty()) return "with a value: " + wrong;
  if (auto wrong = fault_of(Reply<T>(error)); !wrong.empty()) return "with an error: " + wrong;
  return {};
}

#define WEIR_ROUND_TRIP(Type, name)                                                        \
  TEST_CASE("every byte of a message tells, and no other is taken: " name, "[messages]") { \
    CHECK(fault(TypeTag<Type>{}) == "");                                                   \
  }
WEIR_MESSAGE_LIST(WEIR_ROUND_TRIP)
#undef WEIR_ROUND_TRIP

TEST_CASE("no two messages have one name on the wire", "[messages]") {
  std::set<std::string> names;
  std::size_t count = 0;
#define WEIR_NAME(Type, name) \
  names.insert(name);         \
  ++count;
  WEIR_MESSAGE_LIST(WEIR_NAME)
#undef WEIR_NAME
  CHECK(names.size() == count);
}

// ---- Does the test above find what it is for? ----------------------------------------------------

/// A member was forgotten in the description.
struct Forgetful {
  std::uint32_t told = 0;
  std::uint32_t forgotten = 0;
};
WEIR_FIELDS(Forgetful, told)

/// Its codec does not write what is inside.
struct Silent {
  std::uint32_t number = 0;
};
WEIR_FIELDS(Silent, number)
struct HasSilent {
  std::vector<Silent> inside;
};
WEIR_FIELDS(HasSilent, inside)

/// Its codec allocates what a stranger says.
struct Gullible {
  std::vector<std::uint32_t> numbers;
};
WEIR_FIELDS(Gullible, numbers)

}  // namespace
}  // namespace weir::test

namespace weir {

template <>
struct Codec<test::Silent> {
  static constexpr std::size_t fixed_width = 4;
  static constexpr std::size_t min_width = 4;
  template <Encoding E>
  static void encode(const test::Silent&, ByteWriter& writer) {
    writer.number(std::uint32_t{0});
  }
  static void decode(ByteReader& reader, test::Silent& silent) {
    silent.number = reader.number<std::uint32_t>();
  }
};
template <>
struct Codec<test::Gullible> {
  static constexpr std::size_t fixed_width = 0;
  static constexpr std::size_t min_width = 4;
  template <Encoding E>
  static void encode(const test::Gullible& message, ByteWriter& writer) {
    weir::encode(message.numbers, writer);
  }
  static void decode(ByteReader& reader, test::Gullible& message) {
    const auto count = reader.number<std::uint32_t>();
    message.numbers.reserve(count % (1U << 24));
    for (std::uint32_t i = 0; i < count && !reader.failed(); ++i)
      message.numbers.push_back(reader.number<std::uint32_t>());
  }
};

}  // namespace weir

namespace weir::test {
namespace {

TEST_CASE("a message that does not come back as it went is found out", "[messages]") {
  CHECK(fault(TypeTag<Forgetful>{}) == "message: Forgetful has members that are not described");
  CHECK(fault(TypeTag<HasSilent>{}) == "it comes back changed");
  CHECK(fault(TypeTag<Gullible>{}).starts_with("damaged bytes make it allocate 67108860 bytes"));
}

}  // namespace
}  // namespace weir::test
