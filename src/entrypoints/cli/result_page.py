"""The result of a search as a page: the service's own where it can show it, else a file."""

import base64
import html
import sys
import tempfile
import webbrowser
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlencode

if TYPE_CHECKING:
    from entrypoints.http.contract.image_schemas import BoxOut
    from entrypoints.http.contract.search_schemas import MatchOut, SearchResultOut

STYLE = """
:root { color-scheme: light dark; font: 16px/1.5 system-ui, sans-serif; }
body { margin: 2rem auto; max-width: 1400px; padding: 0 1rem; }
h1 { font-size: 1.2rem; }
ul { display: flex; flex-wrap: wrap; gap: 12px; list-style: none; padding: 0; }
figure { margin: 0; }
.frame { border-radius: 10px; overflow: hidden; position: relative; width: fit-content; }
.frame img { display: block; height: 200px; }
.query .frame img { height: 280px; }
.box { border: 3px solid #ffb02e; border-radius: 5px; box-shadow: 0 0 0 1px #000; position: absolute; }
figcaption { font-size: .85rem; padding: 4px 2px; }
"""


def page_address(url: str, image_id: str, search: Mapping[str, str | Sequence[str]]) -> str:
    """Where a service's page shows the search with a stored image. `search` has the API's parameter names."""
    return f"{url.rstrip('/')}/?{urlencode({'image': image_id, **search}, doseq=True, safe=',')}"


def write_result_page(name: str, query_thumbnail: bytes, result: "SearchResultOut", thumbnails: Sequence[bytes]) -> str:
    """Write a page that holds everything that it shows; its address. Raises OSError."""
    query = _figure(query_thumbnail, name, result.query.regions, (result.query.width, result.query.height))
    matches = "".join(
        f"<li>{_match(match, shown)}</li>" for match, shown in zip(result.matches, thumbnails, strict=True)
    )
    text = (
        f'<!doctype html><html lang="en"><meta charset="utf-8"><title>Like {html.escape(name)}</title>'
        f'<style>{STYLE}</style><body><h1>Pictures that look like this one</h1><div class="query">{query}</div>'
        f"<ul>{matches or 'Nothing indexed matches.'}</ul></body></html>"
    )
    with tempfile.NamedTemporaryFile(
        "w", prefix="lookalike-", suffix=".html", encoding="utf-8", errors="replace", delete=False
    ) as file:
        file.write(text)
    return Path(file.name).as_uri()


def open_page(address: str) -> None:
    """Open it in the system's browser, and say where it is."""
    opened = webbrowser.open(address)
    print(f"Opened {address}" if opened else f"No browser could be opened. See {address}", file=sys.stderr)


def _match(match: "MatchOut", thumbnail: bytes) -> str:
    found = [match.region] if match.region else [pair.object for pair in match.regions or [] if pair.object]
    caption = f"{match.score:.3f} {match.image.filename}"
    return _figure(thumbnail, caption, [each.box for each in found], (match.image.width, match.image.height))


def _figure(content: bytes, caption: str, boxes: Sequence["BoxOut"], size: tuple[int, int]) -> str:
    width, height = size
    drawn = "".join(
        f'<span class="box" style="left:{100 * box.x_min / width:.2f}%;top:{100 * box.y_min / height:.2f}%;'
        f"width:{100 * (box.x_max - box.x_min) / width:.2f}%;"
        f'height:{100 * (box.y_max - box.y_min) / height:.2f}%;box-sizing:border-box"></span>'
        for box in boxes
    )
    source = f"data:;base64,{base64.b64encode(content).decode()}"
    name = html.escape(caption)
    return (
        f'<figure><div class="frame"><img src="{source}" alt="{name}">{drawn}</div>'
        f"<figcaption>{name}</figcaption></figure>"
    )
