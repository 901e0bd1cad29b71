"""`darkroom demo` as people meet it: a real server, a real browser, and many requests at once."""

import io
import json
import os
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path
from types import SimpleNamespace
from unittest import mock

import numpy as np
import psutil
import pytest
from PIL import Image

from pipeline_config.experiment import Model

NAME, CLASSES = "birds", ("ant", "owl")
TINY = {"filters": [4], "dense_units": [8]}
VERSIONS = {  # 1, 2, 3: the networks untrained
    "cnn": {"family": "cnn_plain", "params": {**TINY, "convolutions": 1}},
    "both": {"family": "class_and_box", "params": TINY},
    "svm": {"family": "linear_svm"},
}
ODD_NAME = "${1+1} {{value}} <b>.png"


def image_file(number, kind="PNG", size=(40, 30)):
    file = io.BytesIO()
    pixels = np.random.default_rng(number).integers(0, 256, (*size[::-1], 3), np.uint8)
    Image.fromarray(pixels).save(file, kind)
    return file.getvalue()


def log_version(client, folder, name, section):
    from tasks import tracking
    from tasks.prediction import predict_heads
    from tasks.train.registry import build_model

    pixels = np.random.default_rng(0).integers(0, 256, (20, 16, 16, 3), np.uint8)
    model = build_model(Model(name=name, **section), (16, 16, 3), len(CLASSES))
    if name == "svm":
        model.fit(pixels, np.arange(len(pixels)) % len(CLASSES))
    heads = predict_heads(model, pixels[:2])
    np.savez_compressed(folder / "sample.npz", image_ids=np.array(["a", "b"]), pixels=pixels[:2])
    with tracking.run("train", name, tracking.RunTags(NAME, "c" * 64, None)) as run_id:
        model_id = tracking.log_model(
            run_id, model, pixels[:2], heads if "box" in heads else heads["probabilities"], CLASSES
        )
        tracking.log_metrics(run_id, {"test_accuracy": 0.9, "test_accuracy_low": 0.8, "test_accuracy_high": 0.95})
        tracking.log_files(run_id, folder, "evaluation")
    card = "# Card of birds\n\n![tracker](https://example.org/tracker.png)\n"
    client.create_model_version(NAME, f"models:/{model_id}", run_id=run_id, model_id=model_id, description=card)
    return model_id


def break_files(client, model_id):
    """As a disk or a person may, once the version is registered."""
    where = client.get_logged_model(model_id).artifact_location
    for path in Path(where.removeprefix("file://")).rglob("*.skops"):
        path.write_bytes(b"broken")


@pytest.fixture(scope="module")
def registry(tmp_path_factory, new_home):
    """A home with three versions that answer and, as the fourth, one whose files are broken; the first is champion."""
    import mlflow

    from pipeline_config.settings import Settings
    from tasks.tracking import store

    folder = tmp_path_factory.mktemp("demo")
    home = new_home(folder / "home")
    sample = folder / "sample"
    sample.mkdir()
    with mock.patch.dict(os.environ, DARKROOM_HOME=str(home)):
        store.client.cache_clear()
        client = mlflow.MlflowClient(Settings().tracking_uri)
        client.create_registered_model(NAME)
        for name, section in VERSIONS.items():
            log_version(client, sample, name, section)
        break_files(client, log_version(client, sample, "svm", VERSIONS["svm"]))
        client.set_registered_model_alias(NAME, "champion", "1")
        yield SimpleNamespace(
            home=home, choose=lambda version: client.set_registered_model_alias(NAME, "champion", version)
        )
        store.client.cache_clear()


@pytest.fixture(scope="module")
def demo(registry, darkroom, free_port, wait_until):
    """The server's address and its process; Ctrl-C ends it in silence."""
    with darkroom.start(
        "demo", "--experiment", NAME, "--port", port := str(free_port()), home=registry.home
    ) as running:
        output = running._output / "stdout"
        ended = running.process.poll
        wait_until(lambda: ended() is not None or "http://" in output.read_text(), 240, "the demo")
        assert ended() is None, (running._output / "stderr").read_text()
        assert output.read_text() == f"Darkroom demo: http://127.0.0.1:{port} (Ctrl-C ends it)\n"
        yield SimpleNamespace(address=f"http://127.0.0.1:{port}", process=psutil.Process(running.process.pid))
        running.interrupt(alone=True)
        finished = running.wait(60)
        assert (finished.code, finished.stderr, finished.left) == (0, "", ())
        assert not list((registry.home / "cache").glob("demo-*"))


@pytest.fixture
def page(browser, demo):
    """The page, opened; in `asked` is every address that it asks, in `failed` whatever did not work."""
    context = browser.new_context(viewport={"width": 1280, "height": 900})
    opened = context.new_page()
    opened.set_default_timeout(60_000)
    opened.asked, opened.failed = [], []
    opened.on("request", lambda request: opened.asked.append(request.url))
    opened.on("response", lambda response: response.status >= 400 and opened.failed.append(response.url))
    opened.on("pageerror", lambda error: opened.failed.append(str(error)))
    opened.goto(demo.address)
    opened.locator("#head h1").wait_for()
    yield opened
    context.close()
    assert opened.failed == []


def drop(page, *files):
    """The cards of files, which are paths, or names with contents."""
    given = [
        file if isinstance(file, Path) else {"name": file[0], "mimeType": "image/png", "buffer": file[1]}
        for file in files
    ]
    page.locator("#files input[type=file]").set_input_files(given)
    page.locator(".card").nth(len(files) - 1).wait_for()
    return page.locator(".card")


def test_images_are_answered_and_nothing_is_asked_of_other_machines(page, demo):
    cards = drop(page, ("first.png", image_file(1)), (ODD_NAME, image_file(2)))
    assert cards.locator("h2").all_inner_texts() == ["first.png", "1+1 value b.png"]  # Gradio's own caution
    assert sorted(cards.nth(0).locator(".bars .name").all_inner_texts()) == list(CLASSES)
    shares = [float(text.removesuffix(" %")) for text in cards.nth(0).locator(".share").all_inner_texts()]
    assert sum(shares) == pytest.approx(100, abs=0.2)
    assert cards.nth(0).locator(".bar b").first.bounding_box()["width"] > 0
    offered = page.locator("#darkroom-classes option").evaluate_all("all => all.map(one => one.value)")
    assert offered == list(CLASSES)
    pictures = cards.nth(0).locator("img").evaluate_all("all => all.map(one => one.naturalWidth)")
    assert pictures == [200, 200]  # the image, and Grad-CAM over it
    page.get_by_text("Model card").click()
    page.get_by_role("heading", name="Card of birds").wait_for()
    assert "0.900 0.800 to 0.950" in page.locator("#head").inner_text().replace("\n", " ")
    page.locator("[data-sample='1']").click()
    page.locator(".card h2", has_text="test image 2").wait_for()
    assert page.locator(".card form").count() == 0
    # The browser tells of the picture in the card, which it was forbidden to ask for.
    asked = [url for url in page.asked if not url.startswith((demo.address, "data:", "blob:"))]
    assert asked == ["https://example.org/tracker.png"]


@pytest.mark.parametrize("width", [1280, 420])
def test_nothing_stands_out_of_the_page(page, width):
    page.set_viewport_size({"width": width, "height": 900})
    drop(page, ("a name without any place to break it ".replace(" ", "_") * 5 + ".png", image_file(1)))
    assert page.evaluate("document.documentElement.scrollWidth") == width


TOLD = {
    "text.jpg": "cannot be opened: not an image",
    "large.png": "cannot be opened: expected at most 32 MB; received 50.0 MB",
    "bomb.png": "decompression bomb",
    "dot.png": "1×1 pixels show nothing",
    "animated.gif": "it holds several pictures, of which the first was taken",
    "cmyk.jpg": "its CMYK colours were converted to RGB",
    "turned.jpg": "it was turned upright by its EXIF orientation",
}


@pytest.fixture
def odd_files(tmp_path):
    """One of each kind in `TOLD`, and a sound one."""
    red, blue = Image.new("RGB", (16, 16), "red"), Image.new("RGB", (16, 16), "blue")
    (tmp_path / "text.jpg").write_text("no image")
    with (tmp_path / "large.png").open("wb") as large:
        large.truncate(50_000_000)
    Image.new("1", (20_000, 20_000)).save(tmp_path / "bomb.png")
    red.resize((1, 1)).save(tmp_path / "dot.png")
    red.save(tmp_path / "animated.gif", save_all=True, append_images=[blue])
    red.convert("CMYK").save(tmp_path / "cmyk.jpg")
    orientation = Image.Exif()
    orientation[0x0112] = 6
    red.save(tmp_path / "turned.jpg", exif=orientation)
    (tmp_path / "sound.png").write_bytes(image_file(1))
    return [tmp_path / name for name in (*TOLD, "sound.png")]


def test_every_bad_file_has_a_sentence_and_the_sound_one_beside_it_an_answer(page, odd_files):
    cards = drop(page, *odd_files)
    for place, sentence in enumerate(TOLD.values()):
        assert sentence in cards.nth(place).locator(".note").inner_text()
        assert (cards.nth(place).locator(".bars").count() == 1) == (place > 3)
    assert cards.nth(len(TOLD)).locator(".note").count() == 0


def test_a_file_that_is_too_large_to_be_sent_is_told_in_a_sentence(page, tmp_path):
    with (tmp_path / "huge.png").open("wb") as huge:
        huge.truncate(70_000_000)
    page.locator("#files input[type=file]").set_input_files(tmp_path / "huge.png")
    page.get_by_text('exceed the maximum allowed size of 64.0 Mb: "huge.png"').wait_for()
    assert page.locator(".card").count() == 0
    page.failed[:] = [url for url in page.failed if "/upload_progress?" not in url]  # of what was never sent


def test_what_somebody_knows_better_becomes_a_folder_data_set(page, registry):
    from pipeline_config.experiment import Dataset
    from tasks.ingest.listing import describe_dataset

    image = image_file(7, "JPEG")
    form = drop(page, ("mine.png", image)).nth(0).locator("form")
    for label, answer in {
        "dog": "Not stored: expected one of the model's classes: ant, owl",
        "owl": "Thank you",
    }.items():
        form.locator("input").fill(label)
        form.locator("button").click()
        form.locator("output", has_text=answer).wait_for()
    root = registry.home / "feedback" / NAME
    (stored,) = [path for path in root.rglob("*") if path.is_file()]
    assert (stored.parent.name, stored.suffix, stored.read_bytes()) == ("owl", ".jpg", image)
    found = describe_dataset(Dataset(source="folder", path=str(root)))
    assert (found.class_names, found.image_size) == (("owl",), (30, 40))


def test_a_new_champion_answers_on_a_page_that_is_open_and_a_broken_one_does_not(page, registry):
    drop(page, ("mine.png", image_file(1)))
    assert page.locator(".card .box").count() == 0
    for version, sentence in {
        "2": "Another model was chosen: models:/birds/2 answers from now on.",
        "4": "models:/birds/4 was chosen but cannot be used; models:/birds/2 still answers.",
    }.items():
        registry.choose(version)
        page.locator("#notice", has_text=sentence).wait_for()
        assert "version 2" in page.locator("#head h1").inner_text()
    page.locator("[data-sample='0']").click()
    page.locator(".card .box").wait_for()
    registry.choose("3")
    page.locator("#head h1", has_text="version 3").wait_for()
    page.locator("[data-sample='1']").click()
    page.locator(".said", has_text="support vector machine").wait_for()


class Caller:
    """Asks the server as its page does."""

    def __init__(self, address):
        import httpx

        self.statuses = []
        self._http = httpx.Client(
            base_url=address, timeout=120, event_hooks={"response": [self._note]}, trust_env=False
        )

    def close(self):
        self._http.close()

    def _note(self, response):
        self.statuses.append(response.status_code)

    def answer(self, name, content):
        """The HTML of the file's card."""
        (path,) = self._http.post("/gradio_api/upload", files={"files": (name, content)}).json()
        data = [[{"path": path, "orig_name": name, "meta": {"_type": "gradio.FileData"}}]]
        event = self._http.post("/gradio_api/call/answer", json={"data": data}).json()["event_id"]
        events = self._http.get(f"/gradio_api/call/answer/{event}").text
        done = events.partition("event: complete\ndata: ")[2]
        return json.loads(done)[0]


def test_many_requests_at_once_are_all_answered_and_bad_ones_do_not_fill_the_memory(demo):
    with closing(Caller(demo.address)) as caller:
        ask_much(caller, demo.process)
    assert set(caller.statuses) == {200}


def ask_much(caller, process):
    with ThreadPoolExecutor(50) as threads:
        pages = list(threads.map(lambda number: caller.answer(f"{number}.png", image_file(number)), range(50)))
    assert all(f">{number}.png</h2>" in page and "bars" in page for number, page in enumerate(pages))
    with ThreadPoolExecutor(4) as threads:

        def refused(number):
            return caller.answer(f"{number}.png", b"no image" + bytes(200_000) + bytes([number]))

        assert all("not an image" in page for page in threads.map(refused, range(20)))
        before = process.memory_info().rss
        assert all("not an image" in page for page in threads.map(refused, range(20, 80)))
    assert process.memory_info().rss - before < 12e6  # had the server kept the files, it were these 12 MB


def test_a_port_in_use_is_told_in_a_sentence_before_anything_is_loaded(demo, darkroom, tmp_path):
    port = demo.address.rpartition(":")[2]
    finished = darkroom("demo", "--port", port, home=tmp_path / "home")
    assert finished.code == 2
    assert finished.stderr.startswith("darkroom: expected --host and --port that are free on this machine; ")
    assert f"127.0.0.1:{port} cannot be used: Address already in use" in finished.stderr
    assert finished.stderr.count("\n") == 1
