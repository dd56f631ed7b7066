#include "state/ids.hpp"

#include <set>
#include <string>

#include <catch2/catch.hpp>

namespace weir {

TEST_CASE("a job id is 32 lowercase hex digits and reads back", "[state]") {
  const JobId id{0x0123456789abcdefU, 0xfU};
  CHECK(to_string(id) == "0123456789abcdef000000000000000f");
  CHECK(parse_job_id(to_string(id)) == id);
  CHECK_FALSE(id.is_none());
  CHECK(JobId{}.is_none());
}

TEST_CASE("anything else is no job id and the error says so", "[state]") {
  for (const std::string text :
       {"", "0123", "0123456789ABCDEF000000000000000f", "0123456789abcdef000000000000000g",
        "0123456789abcdef000000000000000f0", "+123456789abcdef0000000000000000",
        "0x23456789abcdef000000000000000f"}) {
    const auto parsed = parse_job_id(text);
    REQUIRE_FALSE(parsed);
    CHECK(parsed.error().code == Errc::invalid_argument);
    CHECK_THAT(parsed.error().what, Catch::Contains("'" + text + "'"));
  }
}

TEST_CASE("an execution is named by vertex and subtask", "[state]") {
  CHECK(to_string(ExecutionId{2, 0, 7}) == "2/0");
}

TEST_CASE("every error code has its own name", "[state]") {
  std::set<std::string_view> names;
  for (int code = 0; code <= static_cast<int>(Errc::stale); ++code)
    names.insert(to_string(static_cast<Errc>(code)));
  CHECK(names.size() == static_cast<std::size_t>(Errc::stale) + 1);
  CHECK_FALSE(names.contains("unknown"));
  CHECK(to_string(Errc::not_found) == "not_found");
}

}  // namespace weir
