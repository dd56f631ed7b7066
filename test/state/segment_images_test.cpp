#include <array>
#include <cstdint>
#include <map>
#include <memory>
#include <random>
#include <string>
#include <vector>

#include <catch2/catch.hpp>

#include "state/entry_key.hpp"
#include "state/frozen_table.hpp"
#include "state/table.hpp"
#include "test/state/memory_payload.hpp"

namespace weir {
namespace {

using test::BytesSink;

struct Pair {
  std::uint32_t first = 0;
  std::uint64_t second = 0;
  bool operator==(const Pair&) const = default;
};
WEIR_FIELDS(Pair, first, second)

struct Wide {
  std::uint64_t count = 0;
  std::array<std::uint64_t, 15> rest{};
  bool operator==(const Wide&) const = default;
};
WEIR_FIELDS(Wide, count, rest)

template <class V>
V value_of(std::uint64_t n) {
  if constexpr (std::is_same_v<V, std::string>)
    return std::string(n % 40, 'v') + std::to_string(n);
  else if constexpr (std::is_same_v<V, Pair>)
    return {static_cast<std::uint32_t>(n), n * n};
  else if constexpr (std::is_same_v<V, Wide>)
    return {n, {n + 1}};
  else
    return static_cast<V>(n);
}

/// Keys of 8 bytes, of 4, of any length, and entries with a map key.
enum class Keys : std::uint8_t { compact8, compact4, wide, composite };

constexpr KeyGroupRange groups{0, 2};

TableOptions options_of(Keys keys) {
  const std::size_t width = keys == Keys::compact4 ? 4 : keys == Keys::wide ? 0 : 8;
  return {groups, 2, width, keys == Keys::composite};
}

/// The `n`-th key; holds the bytes that its context views.
struct Key {
  Key(Keys keys, std::uint64_t n) {
    switch (keys) {
      case Keys::compact8:
        bytes = encode_value(n);
        context.word = n;
        break;
      case Keys::compact4:
        bytes = encode_value(static_cast<std::uint32_t>(n));
        context.word = static_cast<std::uint32_t>(n);
        break;
      case Keys::wide:
        ByteWriter(bytes).string(std::to_string(n));
        break;
      case Keys::composite: {
        const std::string key = encode_value(n % 50);
        std::string entry;
        append_entry_key({0, key, {}, std::to_string(n)}, 8, entry);
        bytes = entry.substr(2);
        group_hash = hash_bytes(key);
      }
    }
    context.hash = hash_bytes(bytes);
    context.group = key_group_of(group_hash ? *group_hash : context.hash, 2);
    if (keys == Keys::wide || keys == Keys::composite) context.bytes = bytes;
  }
  std::string bytes;
  std::optional<KeyHash> group_hash;
  KeyContext context;
};

/// What a frozen table holds, as its canonical form.
std::string canonical(const FrozenTable& frozen) {
  BytesSink sink;
  REQUIRE(write_all(frozen, sink));
  return sink.bytes;
}

/// What `images` of `group` hold for somebody who does not have the type of their values.
std::string canonical_of(const TableBase& like, std::uint32_t group,
                         const std::vector<std::string>& images) {
  const auto table = like.make_encoded(like.declaration(), group);
  for (const std::string& image : images) REQUIRE(table->load_images(group, image));
  return canonical(*table->freeze());
}

template <class V>
std::unique_ptr<Table<V>> make(Keys keys) {
  return std::make_unique<Table<V>>(StateDeclaration{"s", StateKind::value, {}, schema_of<V>()},
                                    options_of(keys));
}

template <class V>
void check_chains(Keys keys) {
  std::mt19937_64 random(7);
  const auto table = make<V>(keys);
  // Images of the snapshots that later ones build on, by group: the whole one first.
  std::vector<std::vector<std::string>> chain(groups.size());
  std::uint32_t base = 0;
  std::uint64_t highest = 1;
  std::size_t whole_bytes = 0;
  for (int round = 0; round < 40; ++round) {
    for (int i = 0; i < 120; ++i) {
      const Key key(keys, random() % highest);
      switch (random() % 4) {
        case 0:
          table->erase(key.context);
          break;
        case 1:
          if (V* value = table->find_for_write(key.context); value != nullptr)
            *value = value_of<V>(random());
          break;
        default:
          table->find_or_insert(key.context) = value_of<V>(random());
      }
    }
    highest = std::min<std::uint64_t>(highest * 2, 3000);

    const auto frozen = table->freeze();
    std::vector<std::vector<std::string>> next = chain;
    for (std::uint32_t group = groups.first; group < groups.end; ++group) {
      BytesSink sink;
      const auto extent = frozen->write_images(group, base, sink);
      REQUIRE(extent);
      CHECK(extent->length == sink.bytes.size());
      if (frozen->is_new_since(group, base)) {
        CHECK(extent->entries == frozen->entries(group));
        next[group].clear();
      }
      next[group].push_back(sink.bytes);
      if (round > 30 && group == 0) {
        BytesSink whole;
        REQUIRE(frozen->write_images(group, 0, whole));
        whole_bytes = whole.bytes.size();
        CHECK(sink.bytes.size() < whole_bytes);
      }
    }
    const auto restored = make<V>(keys);
    for (std::uint32_t group = groups.first; group < groups.end; ++group)
      for (const std::string& image : next[group]) REQUIRE(restored->load_images(group, image));
    const auto again = restored->freeze();
    REQUIRE(canonical(*again) == canonical(*frozen));
    std::string without_type;
    for (std::uint32_t group = groups.first; group < groups.end; ++group)
      without_type += canonical_of(*table, group, next[group]);
    REQUIRE(without_type == canonical(*frozen));
    for (std::uint64_t n = 0; n < highest; ++n) {
      const Key key(keys, n);
      const V* expected = table->find(key.context);
      const V* found = restored->find(key.context);
      REQUIRE((found != nullptr) == (expected != nullptr));
      if (found != nullptr) REQUIRE(*found == *expected);
    }
    // Some snapshots are given up: later ones then build on an older one.
    if (random() % 3 != 0) {
      chain = std::move(next);
      base = frozen->epoch();
      table->confirm(base);
    }
  }
  CHECK(whole_bytes > 0);
}

TEST_CASE("a table restored from whole and changed segments is what was frozen", "[state]") {
  const Keys keys = GENERATE(Keys::compact8, Keys::compact4, Keys::wide, Keys::composite);
  CAPTURE(static_cast<int>(keys));
  SECTION("numbers") { check_chains<std::uint64_t>(keys); }
  SECTION("structures with gaps") { check_chains<Pair>(keys); }
  SECTION("large structures") { check_chains<Wide>(keys); }
  SECTION("strings") { check_chains<std::string>(keys); }
  SECTION("truth values") { check_chains<bool>(keys); }
}

TEST_CASE("the entry of the key 0 comes back from images of any type", "[state]") {
  const Keys keys = GENERATE(Keys::compact8, Keys::compact4);
  const auto check = [&]<class V>(std::type_identity<V>) {
    const auto table = make<V>(keys);
    const Key zero(keys, 0);
    table->find_or_insert(zero.context) = value_of<V>(5);
    const auto image = [&](std::uint32_t base) {
      BytesSink sink;
      const auto frozen = table->freeze();
      REQUIRE(frozen->write_images(zero.context.group, base, sink));
      table->confirm(frozen->epoch());
      return std::pair(sink.bytes, frozen->epoch());
    };
    const auto [whole, base] = image(0);
    CHECK(canonical_of(*table, zero.context.group, {whole}) == canonical(*table->freeze()));
    table->erase(zero.context);
    const std::string gone = image(base).first;
    CHECK(canonical_of(*table, zero.context.group, {whole, gone}).empty());
  };
  check(std::type_identity<std::uint64_t>{});  // it stands apart
  check(std::type_identity<std::string>{});    // it lies in a slot
}

TEST_CASE("changed segments are a small part of a large table", "[state]") {
  const auto table = make<Wide>(Keys::compact8);
  for (std::uint64_t i = 0; i < 20'000; ++i)
    table->find_or_insert(Key(Keys::compact8, i).context) = {};
  const auto before = table->freeze();
  table->confirm(before->epoch());
  for (std::uint64_t i = 0; i < 20'000; i += 10)
    ++table->find_or_insert(Key(Keys::compact8, i).context).count;
  const auto frozen = table->freeze();
  std::size_t bytes = 0;
  std::uint64_t entries = 0;
  for (std::uint32_t group = groups.first; group < groups.end; ++group) {
    BytesSink sink;
    const auto extent = frozen->write_images(group, before->epoch(), sink);
    REQUIRE(extent);
    bytes += extent->length;
    entries += extent->entries;
  }
  CHECK(entries == 2000);
  CHECK(bytes < 2000 * (sizeof(Wide) + 8) * 12 / 10);
}

/// Tables that take the image of a table of `V`: one of that type, and one without it.
template <class V>
std::vector<std::unique_ptr<TableBase>> takers(Keys keys) {
  std::vector<std::unique_ptr<TableBase>> tables;
  tables.push_back(make<V>(keys));
  tables.push_back(tables[0]->make_encoded(tables[0]->declaration(), 0));
  return tables;
}

template <class V>
void check_damage(Keys keys) {
  const auto table = make<V>(keys);
  for (std::uint64_t i = 0; i < 400; ++i)
    table->find_or_insert(Key(keys, i).context) = value_of<V>(i);
  BytesSink sink;
  const auto frozen = table->freeze();
  REQUIRE(frozen->write_images(0, 0, sink));
  BytesSink whole_sink;
  REQUIRE(frozen->write_group(0, whole_sink));
  const std::string whole = whole_sink.bytes;
  for (std::size_t length = 0; length < sink.bytes.size(); ++length) {
    for (const auto& restored : takers<V>(keys)) {
      const auto loaded = restored->load_images(0, std::string_view(sink.bytes).substr(0, length));
      REQUIRE_FALSE(loaded);
      REQUIRE(loaded.error().code == Errc::corruption);
      REQUIRE(restored->entries() == 0);
    }
  }
  for (const auto& restored : takers<V>(keys))
    CHECK_FALSE(restored->load_images(0, sink.bytes + "x"));
  // Checksums are checked before; without them damage may go unnoticed, but harms nothing else.
  std::size_t refused = 0;
  std::size_t refused_without_type = 0;
  for (std::size_t at = 0; at < sink.bytes.size(); ++at) {
    std::string damaged = sink.bytes;
    damaged[at] = static_cast<char>(damaged[at] ^ 1 << at % 8);
    const auto restored = make<V>(keys);
    if (!restored->load_images(0, damaged)) {
      ++refused;
      // The table goes on as an empty one.
      REQUIRE(restored->load_images(0, sink.bytes));
      REQUIRE(canonical(*restored->freeze()) == whole);
    }
    restored->find_or_insert(Key(keys, 1000).context) = {};
    const auto encoded = restored->make_encoded(restored->declaration(), 0);
    if (!encoded->load_images(0, damaged)) ++refused_without_type;
    (void)canonical(*encoded->freeze());
  }
  CHECK(refused > 0);
  CHECK(refused_without_type > 0);
}

TEST_CASE("a damaged segment image is refused", "[state]") {
  SECTION("with its entries in slots") { check_damage<std::uint64_t>(Keys::compact8); }
  SECTION("with its entries in nodes") { check_damage<std::string>(Keys::wide); }
  SECTION("with map keys") { check_damage<Pair>(Keys::composite); }
  SECTION("without the type, if its first segment is no whole one of any table") {
    const auto table = make<Wide>(Keys::compact8);
    for (std::uint64_t i = 0; i < 400; ++i)
      table->find_or_insert(Key(Keys::compact8, i).context) = {i, {}};
    BytesSink sink;
    REQUIRE(table->freeze()->write_images(0, 0, sink));
    const auto encoded = table->make_encoded(table->declaration(), 0);
    REQUIRE(encoded->load_images(0, sink.bytes));  // with granules of one slot
    for (const std::uint32_t granules : {0U, 7U, 5U, ~1U, ~0U << 16}) {
      std::string image;
      ByteWriter writer(image);
      writer.number(std::uint8_t{1});
      writer.number(std::uint32_t{256});
      writer.number(std::uint16_t{0});  // no depth, no key apart
      writer.number(std::uint32_t{1});
      writer.number(std::uint32_t{0});
      writer.number(std::uint8_t{0});
      writer.number(granules);
      writer.raw(std::string(64, '\0'));
      const Status loaded = encoded->load_images(0, image);
      REQUIRE_FALSE(loaded);
      CHECK(loaded.error().code == Errc::corruption);
      CHECK_THAT(loaded.error().what, Catch::Contains("a segment image does not fit"));
    }
  }
  SECTION("without what it builds on") {
    const auto table = make<std::uint64_t>(Keys::compact8);
    for (std::uint64_t i = 0; i < 4000; ++i)
      table->find_or_insert(Key(Keys::compact8, i).context) = i;
    const auto base = table->freeze();
    table->confirm(base->epoch());
    ++table->find_or_insert(Key(Keys::compact8, 1).context);
    const auto frozen = table->freeze();
    for (std::uint32_t group = groups.first; group < groups.end; ++group) {
      BytesSink sink;
      REQUIRE(frozen->write_images(group, base->epoch(), sink));
      CHECK_FALSE(make<std::uint64_t>(Keys::compact8)->load_images(group, sink.bytes));
    }
  }
}

}  // namespace
}  // namespace weir
