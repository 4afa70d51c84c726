"""The least that Scrapy can do: `python -m benchmarks.sources_bare LISTING CONNECTIONS` fetches each photo's page and
thumbnail, keeps nothing, and prints how many images came.
"""

import sys
from collections.abc import Iterator
from typing import Any

import scrapy
from scrapy.crawler import CrawlerProcess
from scrapy.http import Request, Response, TextResponse


class BareSpider(scrapy.Spider):
    """Listing → photo page → image, by three CSS selectors."""

    name = "bare"
    images = 0

    def parse(self, response: Response, **_: Any) -> Iterator[Request]:
        """Follow the photos of a listing and the next one."""
        if isinstance(response, TextResponse):
            yield from response.follow_all(css='a[href^="/photos/"]', callback=self.photo_page, priority=10)
            yield from response.follow_all(css="a[rel=next]")

    def photo_page(self, response: TextResponse) -> Iterator[Request]:
        """Ask for the image of a photo's page."""
        yield from response.follow_all(css="img[itemprop=image]::attr(src)", callback=self.image, priority=20)

    def image(self, response: Response) -> None:
        """Count an image."""
        self.images += bool(response.body)


def main() -> None:
    """Crawl, and print the number of images."""
    listing, connections = sys.argv[1], int(sys.argv[2])
    process = CrawlerProcess(
        {
            "CONCURRENT_REQUESTS": connections,
            "CONCURRENT_REQUESTS_PER_DOMAIN": connections,
            "DOWNLOAD_DELAY": 0,
            "ROBOTSTXT_OBEY": False,
            "TELNETCONSOLE_ENABLED": False,
            "LOG_LEVEL": "WARNING",
        }
    )
    crawler = process.create_crawler(BareSpider)
    process.crawl(crawler, start_urls=[listing])
    process.start()
    if isinstance(crawler.spider, BareSpider):
        print(crawler.spider.images)


if __name__ == "__main__":
    main()
