#include "storage/uri.hpp"

#include <catch2/catch.hpp>

namespace weir {

TEST_CASE("a directory is a plain path or a file URI", "[storage]") {
  const auto parsed = [](std::string_view setting) { return parse_path(setting, "/home/job/dir"); };
  CHECK(parsed("/var/weir") == "/var/weir");
  CHECK(parsed("/var/weir/") == "/var/weir");
  CHECK(parsed("/var//weir/./x/../y") == "/var/weir/y");
  CHECK(parsed("/") == "/");
  CHECK(parsed("data") == "/home/job/dir/data");
  CHECK(parsed("./data/") == "/home/job/dir/data");
  CHECK(parsed(".") == "/home/job/dir");
  CHECK(parsed("../data") == "/home/job/data");
  CHECK(parsed("file:///var/weir") == "/var/weir");
  CHECK(parsed("FILE:///var/weir/") == "/var/weir");
  CHECK(parsed("file://localhost/var/weir") == "/var/weir");
  CHECK(parsed("file:/var/weir") == "/var/weir");
  CHECK(parsed("with space/and:colon") == "/home/job/dir/with space/and:colon");
  CHECK(parsed("a:b") == "/home/job/dir/a:b");
}

TEST_CASE("other places are refused by a sentence", "[storage]") {
  for (const std::string scheme : {"hdfs", "s3", "s3a", "gs", "http"}) {
    const auto refused = parse_path(scheme + "://bucket/path", "/home/job");
    REQUIRE_FALSE(refused);
    CHECK(refused.error().code == Errc::unsupported);
    CHECK(refused.error().what ==
          "'" + scheme + "://bucket/path': " + scheme +
              ":// is not supported yet; use a path of this machine, such as "
              "/var/weir or file:///var/weir");
  }
}

TEST_CASE("what cannot be a directory is invalid", "[storage]") {
  for (const std::string& setting :
       {std::string(), std::string("a\0b", 3), std::string("file://host/path"),
        std::string("file://relative")}) {
    const auto refused = parse_path(setting, "/home/job");
    REQUIRE_FALSE(refused);
    CHECK(refused.error().code == Errc::invalid_argument);
  }
}

}  // namespace weir
