# Grading, anywhere: docker build -f grading.Dockerfile -t vae-grading . ; how it is run, and what the sandbox in it needs, is in the README, "The container".
FROM python:3.11-slim
RUN apt-get update && apt-get install -y --no-install-recommends bubblewrap make && rm -rf /var/lib/apt/lists/*
RUN pip install --no-cache-dir --index-url https://download.pytorch.org/whl/cpu "torch>=2.6" "torchvision>=0.21"
WORKDIR /course
COPY . .
RUN pip install --no-cache-dir --editable ".[grading]" && python -m autograde prepare
ENTRYPOINT ["python", "-m", "autograde"]
CMD ["--help"]
