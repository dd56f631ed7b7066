#include "simulation/simulated_databases.hpp"

#include <memory>
#include <string>

#include <catch2/catch.hpp>
#include <rocksdb/cache.h>

#include "backends/rocksdb/database_files.hpp"
#include "backends/rocksdb/rocksdb_database.hpp"
#include "backends/rocksdb/sorted_files.hpp"

namespace weir::test {
namespace {

/// A database in memory with one column family.
struct Database {
  Database() {
    auto created = RocksDBDatabase::create(*databases.seams(), "/local/task/op",
                                           rocksdb::NewLRUCache(std::size_t{1} << 20));
    REQUIRE(created);
    database = std::move(*created);
    auto made = database->create_column_family("state");
    REQUIRE(made);
    family = *made;
  }
  Status put(const std::string& key, const std::string& value) {
    SortedFiles files(*database);
    WEIR_TRY(files.put(family, key, value));
    Status ingested = files.ingest();
    if (!ingested) files.abandon();
    return ingested;
  }
  [[nodiscard]] std::string get(const std::string& key) {
    std::string value;
    const auto found = database->get(family, {key, 0}, value);
    REQUIRE(found);
    return *found ? value : "none";
  }
  [[nodiscard]] std::size_t files() const {
    rocksdb::ColumnFamilyMetaData metadata;
    database->db().GetColumnFamilyMetaData(family, &metadata);
    return metadata.file_count;
  }

  SimulatedDatabases databases{1, 0};
  std::shared_ptr<RocksDBDatabase> database;
  rocksdb::ColumnFamilyHandle* family = nullptr;
};

/// More than a database of its own accord leaves in its first level.
constexpr std::size_t many = 30;

TEST_CASE("a simulated database merges its files only when it is told to", "[simulation]") {
  Database one;
  for (std::size_t i = 0; i < many; ++i) REQUIRE(one.put("key", std::to_string(i)));
  CHECK(one.files() == many);
  one.databases.merge_all();
  CHECK(one.databases.merges() == 1);
  CHECK(one.files() == 1);
  CHECK(one.get("key") == std::to_string(many - 1));
  // It is drawn when; over many opportunities it happens.
  for (std::size_t i = 0; i < many; ++i) REQUIRE(one.put("key", std::to_string(i)));
  std::string said;
  for (int i = 0; i < 1000 && said.empty(); ++i) said = one.databases.merge_some();
  CHECK(said == "merge files of 'state' in /local/task/op/db");
  CHECK(one.files() <= many + 1);
  CHECK(one.get("key") == std::to_string(many - 1));
}

TEST_CASE("what a snapshot holds of a simulated database outlives a merge", "[simulation]") {
  Database one;
  REQUIRE(one.put("a", "first"));
  REQUIRE(one.put("b", "second"));
  const auto held = DatabaseFiles::take(one.database, {one.family}, nullptr);
  REQUIRE(held);
  one.databases.merge_all();
  CHECK(one.files() == 1);
  REQUIRE((*held)->files().at(0).size() == 2);
  for (const DatabaseFiles::File& file : (*held)->files().at(0)) {
    auto opened = one.databases.seams()->files->open(file.link);
    REQUIRE(opened);
    const auto bytes = read_whole(**opened, file.link, file.size_bytes);
    REQUIRE(bytes);
    CHECK(bytes->size() == file.size_bytes);
  }
}

TEST_CASE("the disk of simulated databases refuses the files that it is told to refuse",
          "[simulation]") {
  Database one;
  one.databases.refuse_files(2, 2);
  CHECK(one.put("key", "1"));
  for (const char* value : {"2", "3"}) {
    const Status refused = one.put("key", value);
    REQUIRE_FALSE(refused);
    CHECK(refused.error().code == Errc::io_error);
    CHECK(refused.error().what.contains("/local/task/op/"));
    CHECK(refused.error().what.contains("make room there"));
  }
  CHECK(one.get("key") == "1");
  CHECK(one.put("key", "4"));
  CHECK(one.get("key") == "4");
  CHECK(one.databases.refused() == 2);

  one.databases.refuse_files(1, 1);
  CHECK_FALSE(DatabaseFiles::take(one.database, {one.family}, nullptr));
  one.databases.refuse_files(1, 100);
  one.databases.heal();
  CHECK(one.put("key", "5"));
}

TEST_CASE("tables of simulated databases have little memory, and entries as much as configured",
          "[simulation]") {
  const SimulatedDatabases databases(1, std::size_t{24} << 10);
  RocksDBStateBackend::Options configured;
  configured.memory_bytes = std::size_t{8} << 20;
  configured.table_ratio = 0.25;
  configured.memory_threshold_bytes = 7;
  const auto options = databases.options(configured);
  CHECK(static_cast<double>(options.memory_bytes) * options.table_ratio ==
        Approx(static_cast<double>(std::size_t{24} << 10)));
  CHECK(options.entry_limit_bytes == std::size_t{2} << 20);
  CHECK(options.memory_threshold_bytes == 7);
  CHECK(options.seams == databases.seams());
  configured.table_ratio = 0;
  CHECK(databases.options(configured).entry_limit_bytes == TableMemory::least_entry_limit_bytes);
}

TEST_CASE("a simulated database that is disposed of leaves nothing", "[simulation]") {
  Database one;
  REQUIRE(one.put("key", "1"));
  FileSystem& files = *one.databases.seams()->files;
  CHECK(files.stat("/local/task/op/db"));
  one.database->remove_when_closed();
  one.database.reset();
  CHECK(files.stat("/local/task/op").error().code == Errc::not_found);
  CHECK(files.list("/local/task").value().empty());
}

}  // namespace
}  // namespace weir::test
